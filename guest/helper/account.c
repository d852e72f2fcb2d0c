/* See account.h. */
#include "guest/helper/account.h"

#include <fcntl.h>

#include "guest/helper/base.h"
#include "guest/helper/sys.h"

#define LINE_MAX_LEN 1024u

/* A file of accounts, line by line; what is longer than a line may be is skipped. */
struct lines {
	int fd;
	char data[4096];
	size_t at, len;
	char line[LINE_MAX_LEN];
};

static bool next_line(struct lines *l)
{
	size_t n = 0;

	for (;;) {
		if (l->at == l->len) {
			long got = SYS3(SYS_read, l->fd, l->data, sizeof(l->data));

			if (got <= 0 && n == 0)
				return false;
			if (got <= 0)
				break; /* the last line may lack its end */
			l->at = 0;
			l->len = (size_t)got;
		}
		if (l->data[l->at] == '\n')
			break;
		if (n < sizeof(l->line))
			l->line[n++] = l->data[l->at];
		l->at++;
	}
	l->at += l->at < l->len;
	if (n == sizeof(l->line))
		n = 0;
	l->line[n] = '\0';
	return true;
}

static struct lines lines;

static bool open_lines(const char *path)
{
	lines.at = lines.len = 0;
	lines.fd = (int)SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	return lines.fd >= 0;
}

bool account_of_user(const char *passwd, const char *user, struct account *a)
{
	uint32_t number = 0;
	bool numeric = text_number(user, &number), found = false;

	if (!open_lines(passwd))
		return false;
	while (!found && next_line(&lines)) {
		char *rest = lines.line, *name = text_field(&rest, ':');
		char *uid, *gid, *home;

		text_field(&rest, ':');
		uid = text_field(&rest, ':');
		gid = text_field(&rest, ':');
		text_field(&rest, ':');
		home = text_field(&rest, ':');
		if (home == NULL || !text_number(uid, &a->uid) || !text_number(gid, &a->gid))
			continue;
		found = text_equal(name, user) || (numeric && a->uid == number);
		text_copy(a->name, sizeof(a->name), found ? name : "");
		text_copy(a->home, sizeof(a->home), home);
	}
	SYS1(SYS_close, lines.fd);
	return found;
}

static bool is_member(char *members, const char *name)
{
	char *member;

	while ((member = text_field(&members, ',')) != NULL) {
		if (text_equal(member, name))
			return true;
	}
	return false;
}

/* The groups that `name` is a member of, and the number of `group`, NULL: none asked. Returns
 * whether that was found. */
static bool find_groups(const char *file, const char *name, const char *group, struct account *a)
{
	bool found = false;

	if (!open_lines(file))
		return false;
	while (next_line(&lines)) {
		char *rest = lines.line, *text = text_field(&rest, ':'), *gid, *members;
		uint32_t number;

		text_field(&rest, ':');
		gid = text_field(&rest, ':');
		members = rest;
		if (gid == NULL || !text_number(gid, &number))
			continue;
		if (group != NULL && text_equal(text, group)) {
			a->gid = number;
			found = true;
		}
		if (name[0] != '\0' && a->ngroups < ACCOUNT_GROUPS && is_member(members, name))
			a->groups[a->ngroups++] = number;
	}
	SYS1(SYS_close, lines.fd);
	return found;
}

bool account_find(const char *passwd, const char *groups, char *text, struct account *a)
{
	char *group = text, *user = text_field(&group, ':');
	uint32_t number;

	a->ngroups = 0;
	if (!account_of_user(passwd, user, a)) {
		if (!text_number(user, &a->uid))
			return false;
		a->gid = 0;
		text_copy(a->home, sizeof(a->home), "/");
		a->name[0] = '\0';
	}
	if (!find_groups(groups, a->name, group, a) && group != NULL) {
		if (!text_number(group, &number))
			return false;
		a->gid = number;
	}
	return true;
}

long account_become(const struct account *a)
{
	long ret = SYS2(SYS_setgroups, a->ngroups, a->groups);

	if (ret == 0)
		ret = SYS1(SYS_setgid, a->gid);
	if (ret == 0)
		ret = SYS1(SYS_setuid, a->uid);
	return ret;
}

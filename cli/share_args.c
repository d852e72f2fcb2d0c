/* See share_args.h. */
#include "cli/share_args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Take ":ro" or ":rw" off the end. */
static bool cut_mode(char *text, bool *readonly)
{
	char *colon = strrchr(text, ':');

	*readonly = colon != NULL && strcmp(colon, ":ro") == 0;
	if (colon == NULL || (!*readonly && strcmp(colon, ":rw") != 0))
		return false;
	*colon = '\0';
	return true;
}

/* DIR:GUEST[:ro|:rw]. A path of the host may hold colons, one of the guest may not. */
static int parse_share(const char *value, struct share_arg *share, struct err *err)
{
	char *colon;

	*share = (struct share_arg){.value = value, .ends = SHARE_ENDS_CLOSED};
	if ((size_t)snprintf(share->dir, sizeof(share->dir), "%s", value) >= sizeof(share->dir))
		return err_set(err, ERR_USAGE, "-v: the path is too long");
	(void)cut_mode(share->dir, &share->readonly);
	colon = strrchr(share->dir, ':');
	if (colon == NULL || colon == share->dir)
		return err_set(err, ERR_USAGE, "-v %s: not DIR:GUEST[:ro]", value);
	*colon++ = '\0';
	if (!appliance_guest_path(colon))
		return err_set(err, ERR_USAGE,
			       "-v %s: '%s' is no absolute path for the guest: no '..', no ':', "
			       "printable ASCII, and at most %u bytes",
			       value, colon, APPLIANCE_GUEST_MAX);
	strcpy(share->guest, colon);
	return 0;
}

int share_args_take(struct share_args *args, int id, const char *value, struct err *err)
{
	struct share_arg *share = &args->share[args->n];
	int ret;

	if (id != OPT_SHARE)
		return 0;
	if (strcmp(value, "none") == 0) {
		args->none = true;
		return 1;
	}
	if (args->n == APPLIANCE_MAX_SHARES)
		return err_set(err, ERR_USAGE, "-v: more than %u", APPLIANCE_MAX_SHARES);
	ret = parse_share(value, share, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < args->n; i++) {
		if (strcmp(args->share[i].guest, share->guest) == 0)
			return err_set(err, ERR_USAGE, "-v %s: %s is there already", value,
				       share->guest);
	}
	args->n++;
	return 1;
}

static int open_share(struct share_arg *share, struct err *err)
{
	cleanup_fd int folder = open(share->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *path;
	int ret;

	if (folder < 0)
		return err_sys(err, errno, "-v %s: %s", share->value, share->dir);
	/* The machine has another working directory, and says what it shares. */
	path = realpath(share->dir, NULL);
	if (path != NULL)
		snprintf(share->dir, sizeof(share->dir), "%s", path);
	free(path);
	ret = share_start(&share->ends, folder, share->readonly, err);
	return ret < 0 ? err_context(err, ret, "-v %s", share->value) : 0;
}

int share_args_open(struct share_args *args, struct err *err)
{
	for (; args->nopen < args->n; args->nopen++) {
		int ret = open_share(&args->share[args->nopen], err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

void share_args_close(struct share_args *args)
{
	for (unsigned i = 0; i < args->nopen; i++)
		share_ends_close(&args->share[i].ends);
	args->nopen = 0;
}

static void give_folder(struct share_arg *share, struct source_share *to)
{
	*to = (struct source_share){
		.ends = share->ends, .path = share->dir, .readonly = share->readonly};
	share->ends = (struct share_ends)SHARE_ENDS_CLOSED;
}

int share_args_add(struct share_args *args, struct source *source, struct err *err)
{
	struct appliance *a = &source->appliance;

	if (args->none)
		return err_set(
			err, ERR_USAGE,
			"-v none: for torpor resume; a machine that boots has what is given");
	for (unsigned i = 0; i < args->n; i++) {
		struct appliance_share *share = &a->share[a->nshares];

		snprintf(share->tag, sizeof(share->tag), "share%u", a->nshares);
		strcpy(share->guest, args->share[i].guest);
		give_folder(&args->share[i], &source->share[a->nshares++]);
	}
	return 0;
}

static int bind_share(struct share_arg *share, struct source *source, struct err *err)
{
	const struct appliance *a = &source->appliance;

	for (uint32_t i = 0; i < a->nshares; i++) {
		if (strcmp(a->share[i].guest, share->guest) != 0)
			continue;
		give_folder(share, &source->share[i]);
		return 0;
	}
	return err_set(err, ERR_USAGE,
		       "-v %s: %s has no shared folder at %s, and a machine that wakes gets no new "
		       "ones",
		       share->value, source->origin, share->guest);
}

int share_args_bind(struct share_args *args, struct source *source, struct err *err)
{
	const struct appliance *a = &source->appliance;

	for (unsigned i = 0; i < args->n; i++) {
		int ret = bind_share(&args->share[i], source, err);

		if (ret < 0)
			return ret;
	}
	for (uint32_t i = 0; i < a->nshares; i++) {
		if (source->share[i].path == NULL && !args->none)
			return err_set(err, ERR_USAGE,
				       "%s has a shared folder at %s: say which it is with -v "
				       "DIR:%s, or drop it with -v none",
				       source->origin, a->share[i].guest, a->share[i].guest);
	}
	return 0;
}

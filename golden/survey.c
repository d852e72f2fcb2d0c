/* See survey.h. */
#include "golden/survey.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define LOOK_SECONDS 900u  /* a slow guest hashes all its files */
#define TCP_LISTEN   0x0au /* states in /proc/net (net/tcp_states.h) */
#define UDP_BOUND    0x07u

/* The shell that looks, what it starts, and the helper that started it (agent_files.h) are none of
 * the guest's. */
static const char processes_script[] =
	"for p in /proc/[0-9]*; do\n"
	"  [ $p != /proc/$$ ] && c=$(tr '\\0' ' ' <$p/cmdline) && [ -n \"$c\" ] &&\n"
	"    case $c in */torpor-*/helper\\ *) false ;; esac &&\n"
	"    u=$(stat -c %u $p) && echo \"$u ${c% }\"\n"
	"done 2>/dev/null\n"
	"exit 0\n";

static const char packages_script[] =
	"if command -v dpkg-query; then\n"
	"  dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package} ${Version}\\n' |\n"
	"    sed -n 's/^ii *//p' >&3\n"
	"elif command -v rpm; then\n"
	"  rpm -qa --qf '%{NAME}.%{ARCH} %{VERSION}-%{RELEASE}\\n' >&3\n"
	"elif command -v apk; then\n"
	"  apk info -v | sed 's/-\\([^-]*-r[0-9]*\\)$/ \\1/' >&3\n"
	"fi 3>&1 >/dev/null 2>&1\n"
	"exit 0\n";

static const char ports_script[] = "for f in tcp tcp6 udp udp6; do\n"
				   "  echo \"@ $f\"\n"
				   "  cat /proc/net/$f\n"
				   "done 2>/dev/null\n"
				   "exit 0\n";

static const struct {
	const char *word, *script;
} parts[SURVEY_PARTS] = {
	[SURVEY_FILES] = {"file", guest_tree_script},
	[SURVEY_PROCESSES] = {"process", processes_script},
	[SURVEY_PACKAGES] = {"package", packages_script},
	[SURVEY_PORTS] = {"port", ports_script},
};

const char *survey_script(enum survey_part part)
{
	return parts[part].script;
}

static char *escaped(const char *text)
{
	struct buf out = {0};

	inventory_add_escaped(&out, text, strlen(text));
	buf_add(&out, "", 1);
	if (!buf_failed(&out))
		return (char *)out.data;
	buf_free(&out);
	return NULL;
}

/* NAME VERSION */
static int parse_package(struct inventory *inv, char *line, struct err *err)
{
	char *space = strchr(line, ' ');

	if (space != NULL)
		*space++ = '\0';
	return inventory_add(inv, escaped(line), escaped(space != NULL ? space : "-"), err);
}

/* 0100007F, or four such words, and the port. The words are in the byte order of the guest, which is
 * little-endian, as this host's is. */
static bool read_address(const char *text, unsigned words, char address[INET6_ADDRSTRLEN],
			 unsigned *port)
{
	uint32_t raw[4];

	for (unsigned i = 0; i < words; i++, text += 8) {
		if (sscanf(text, "%8" SCNx32, &raw[i]) != 1)
			return false;
	}
	return sscanf(text, ":%4x", port) == 1 &&
	       inet_ntop(words == 1 ? AF_INET : AF_INET6, raw, address, INET6_ADDRSTRLEN) != NULL;
}

/* A line of /proc/net/KIND: `sl  local_address rem_address   st …` */
static int parse_socket(struct inventory *inv, const char *kind, const char *line, struct err *err)
{
	bool six = kind[3] == '6', tcp = kind[0] == 't';
	char address[INET6_ADDRSTRLEN], local[64], *name;
	unsigned port, state;

	/* Its first line has words in place of numbers. */
	if (sscanf(line, " %*u: %63s %*s %2x", local, &state) != 2 ||
	    state != (tcp ? TCP_LISTEN : UDP_BOUND))
		return 0;
	if (strlen(local) != (six ? 37 : 13) || !read_address(local, six ? 4 : 1, address, &port))
		return err_set(err, ERR_FAILED, "the guest's list of ports cannot be read");
	if (asprintf(&name, six ? "%.3s:[%s]:%u" : "%.3s:%s:%u", kind, address, port) < 0)
		name = NULL;
	return inventory_add(inv, name, strdup("1"), err);
}

static int parse_survey_lines(enum survey_part part, struct inventory *inv, char *text,
			      struct err *err)
{
	char kind[8] = "", *line;
	int ret = 0;

	while (ret == 0 && (line = strsep(&text, "\n")) != NULL) {
		if (line[0] == '\0')
			continue;
		if (part == SURVEY_PROCESSES)
			ret = inventory_add(inv, escaped(line), strdup("1"), err);
		else if (part == SURVEY_PACKAGES)
			ret = parse_package(inv, line, err);
		else if (sscanf(line, "@ %7s", kind) != 1 && strlen(kind) >= 3)
			ret = parse_socket(inv, kind, line, err);
	}
	if (ret < 0)
		return ret;
	inventory_sort(inv);
	return part == SURVEY_PACKAGES ? 0 : inventory_count(inv, err);
}

int survey_parse(enum survey_part part, struct inventory *inv, const char *output, size_t len,
		 const struct guest_tree_excludes *excludes, struct err *err)
{
	cleanup_free char *text = NULL;

	if (part == SURVEY_FILES)
		return guest_tree_parse(inv, output, len, excludes, err);
	text = malloc(len + 1);
	if (text == NULL)
		return err_sys(err, ENOMEM, "list what is in the guest");
	memcpy(text, output, len);
	text[len] = '\0';
	return parse_survey_lines(part, inv, text, err);
}

struct survey_words {
	enum survey_part part;
	struct buf *out;
};

static void tell_difference(void *opaque, const char *name, const char *was, const char *is)
{
	const struct survey_words *w = opaque;

	buf_printf(w->out, "%s %s: ", parts[w->part].word, name);
	if (was == NULL || is == NULL)
		buf_printf(w->out, "%s", was == NULL ? "new" : "gone");
	else if (w->part == SURVEY_FILES)
		guest_tree_words(was, is, w->out);
	else
		buf_printf(w->out, "%s, was %s", is, was);
	if (w->part == SURVEY_PACKAGES && was == NULL)
		buf_printf(w->out, ", %s", is);
	buf_add(w->out, "\n", 1);
}

size_t survey_compare_part(enum survey_part part, const struct inventory *was,
			   const struct inventory *is, struct buf *out)
{
	struct survey_words words = {part, out};

	return inventory_compare(was, is, tell_difference, &words);
}

static int look_at(struct survey *s, enum survey_part part, const struct test_guest *guest,
		   const struct guest_tree_excludes *excludes, struct err *err)
{
	cleanup_buf struct buf output = {0};
	int status = 0;
	int ret = guest->run(guest->opaque, survey_script(part), LOOK_SECONDS, GOLDEN_LIST_MAX,
			     &output, &status, err);

	if (ret < 0)
		return ret;
	if (status != 0)
		return err_set(err, ERR_FAILED, "the script that lists them ended with status %d",
			       status);
	return survey_parse(part, &s->part[part], (const char *)output.data, output.len, excludes,
			    err);
}

int survey_take(struct survey *s, const struct test_guest *guest,
		const struct guest_tree_excludes *excludes, struct err *err)
{
	*s = (struct survey){0};
	for (enum survey_part part = 0; part < SURVEY_PARTS; part++) {
		int ret = look_at(s, part, guest, excludes, err);

		if (ret < 0)
			return err_context(err, ret, "each %s of the guest", parts[part].word);
	}
	return 0;
}

size_t survey_compare(const struct survey *was, const struct survey *is, struct buf *out)
{
	size_t n = 0;

	for (enum survey_part part = 0; part < SURVEY_PARTS; part++)
		n += survey_compare_part(part, &was->part[part], &is->part[part], out);
	return n;
}

void survey_free(struct survey *s)
{
	for (enum survey_part part = 0; part < SURVEY_PARTS; part++)
		inventory_free(&s->part[part]);
}

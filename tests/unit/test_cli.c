/* The command line: tables of verbs and options, values, names, paths, line framing, the escape. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/name.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/guest_speed.h"
#include "cli/machine_args.h"
#include "cli/net_args.h"
#include "cli/target.h"
#include "host/claim.h"
#include "host/parse.h"
#include "host/paths.h"
#include "host/protocol.h"
#include "instance/escape.h"
#include "instance/record.h"
#include "tests/unit/completion.h"

/* ---- verbs and options ---- */

Test(cli_verbs, every_verb_is_described)
{
	cr_assert(ne(ptr, (void *)commands[0], NULL));
	for (const struct command *const *c = commands; *c != NULL; c++) {
		cr_expect(ne(sz, strlen((*c)->name), 0));
		cr_expect(ne(sz, strlen((*c)->summary), 0), "%s has no summary", (*c)->name);
		cr_expect(ne(ptr, (void *)(*c)->args, NULL));
		cr_expect(ne(ptr, (void *)(*c)->options, NULL));
		cr_expect(eq(ptr, (void *)command_find((*c)->name), (void *)*c),
			  "two verbs are called %s", (*c)->name);
	}
	cr_expect(eq(ptr, (void *)command_find("no such verb"), NULL));
}

Test(cli_verbs, every_option_is_described_once)
{
	for (const struct command *const *c = commands; *c != NULL; c++) {
		unsigned count = 0;

		for (const struct option_spec *a = (*c)->options; a->id != 0; a++, count++) {
			cr_expect(ne(sz, strlen(a->help), 0), "%s --%s", (*c)->name, a->name);
			for (const struct option_spec *b = a + 1; b->id != 0; b++) {
				cr_expect(ne(i32, a->id, b->id), "%s --%s", (*c)->name, a->name);
				cr_expect(ne(str, (char *)a->name, (char *)b->name), "%s",
					  (*c)->name);
			}
		}
		cr_expect(le(u32, count, OPTIONS_MAX), "%s", (*c)->name);
	}
}

/* All of it. */
static const char *read_manual(void)
{
	static char manual[1 << 18];
	FILE *f = fopen("cli/torpor.1", "r");
	size_t len;

	cr_assert(ne(ptr, f, NULL), "run the tests in the project's root");
	len = fread(manual, 1, sizeof(manual) - 1, f);
	cr_assert(feof(f) != 0 && len > 0);
	fclose(f);
	return manual;
}

Test(cli_verbs, the_manual_has_every_section_that_it_refers_to)
{
	const char *manual = read_manual();

	for (const char *at = strstr(manual, " Sx "); at != NULL; at = strstr(at + 1, " Sx ")) {
		char title[80], heading[96];

		/* The title ends at the end of the line, or at a word that is a mark alone. */
		snprintf(title, sizeof(title), "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
		for (char *mark = title; (mark = strchr(mark, ' ')) != NULL; mark++) {
			if (strchr(".,;:)", mark[1]) != NULL && (mark[2] == ' ' || mark[2] == '\0'))
				*mark = '\0';
			if (*mark == '\0')
				break;
		}
		snprintf(heading, sizeof(heading), "\n.Ss %s\n", title);
		if (strstr(manual, heading) == NULL)
			snprintf(heading, sizeof(heading), "\n.Sh %s\n", title);
		cr_expect(ne(ptr, (void *)strstr(manual, heading), NULL), "'%s'", title);
	}
}

/* The columns of the longest line, where each character is one. */
static size_t widest(const char *text)
{
	size_t most = 0, columns = 0;

	for (; *text != '\0'; text++) {
		if (*text == '\n')
			columns = 0;
		else if (((unsigned char)*text & 0xc0) != 0x80 && ++columns > most)
			most = columns;
	}
	return most;
}

Test(cli_verbs, all_help_fits_80_columns)
{
	static char printed[32768];

	for (const struct command *const *c = commands; *c != NULL; c++) {
		const struct subcommand *sub = (*c)->subcommands;
		FILE *out = fmemopen(printed, sizeof(printed), "w");

		command_print_help(*c, out);
		fclose(out);
		cr_expect(le(sz, widest(printed), 80), "%s", (*c)->name);
		for (; sub != NULL && sub->name != NULL; sub++) {
			out = fmemopen(printed, sizeof(printed), "w");
			command_print_subcommand(*c, sub, out);
			fclose(out);
			cr_expect(le(sz, widest(printed), 80), "%s %s", (*c)->name, sub->name);
		}
	}
}

Test(cli_verbs, the_manual_has_every_verb_and_option)
{
	char flag[64];
	const char *manual = read_manual();

	for (const struct command *const *c = commands; *c != NULL; c++) {
		snprintf(flag, sizeof(flag), "It Ic %s", (*c)->name);
		cr_expect(ne(ptr, strstr(manual, flag), NULL), "%s", flag);
		for (const struct option_spec *o = (*c)->options; o->id != 0; o++) {
			char letter[32] = "";

			snprintf(flag, sizeof(flag), "-%s", o->name);
			if (o->id < OPTION_LONG_ONLY)
				snprintf(letter, sizeof(letter), "Fl %c", o->id);
			cr_expect(strstr(manual, flag) != NULL ||
					  (letter[0] != '\0' && strstr(manual, letter) != NULL),
				  "%s %s", (*c)->name, flag);
		}
	}
}

static int run_verb(const struct command *c, int argc, char **argv, struct err *err)
{
	struct options opts;

	options_init(&opts, c->options, argc, argv);
	return c->run(&opts, err);
}

Test(cli_verbs, a_file_or_a_name_is_called_so_in_one_way)
{
	const char *manual = read_manual();
	unsigned count = 0;

	cr_expect(eq(ptr, strstr(manual, "Ar NAME Ns | Ns Ar FILE"), NULL));
	for (const struct command *const *c = commands; *c != NULL; c++) {
		char *argv[] = {(char *)(*c)->name, NULL};
		struct err err = {0};

		cr_expect(eq(ptr, strstr((*c)->args, "NAME|FILE"), NULL), "%s", (*c)->name);
		if (strncmp((*c)->args, "FILE|NAME", 9) != 0)
			continue;
		count++;
		cr_expect(eq(i32, run_verb(*c, 1, argv, &err), -EINVAL), "%s", (*c)->name);
		/* Verbs that cannot do without some option may ask for that first. */
		cr_expect(strstr(err.text, "FILE or NAME is missing") != NULL ||
				  strstr(err.text, "is needed") != NULL,
			  "%s: %s", (*c)->name, err.text);
	}
	cr_expect(ge(u32, count, 10));
}

/* Each of these would have no effect beside another. */
Test(cli_verbs, an_option_without_effect_is_refused)
{
	static const struct {
		const char *line;
		const char *refusal;
	} cases[] = {
		{"build -o x --kernel k --net tap", "'tap' is not user or none"},
		{"build -o x --kernel k --net lan=shop", "'lan=shop' is not user or none"},
		{"save web --flat --level 5", "--flat and --level"},
		{"save web --level 5 --flat", "--flat and --level"},
		{"move web --flat --level 5 -- true", "--flat and --level"},
		{"flatten a -o b --level 5 --flat", "--flat and --level"},
		{"convert a b --flat --packed", "--flat and --packed"},
		{"convert a b --new-passphrase --new-key-file k", "not with --new-key-file"},
		{"convert a b --new-passphrase-file p --new-passphrase", "--new-passphrase asks"},
		{"resume a --verify cached --unverified", "--verify and --unverified"},
		{"resume a --unverified --verify=full", "--verify and --unverified"},
		{"receive --verify full --unverified", "--verify and --unverified"},
		{"extract a kernel -o x -C .", "--output and --directory"},
		{"ps --quiet --json", "--quiet and --json"},
		{"cp a b web:/tmp", "one SOURCE is copied at a time"},
		{"test -p 8080:80 a.t", "'8080:80' is not a port of the guest"},
		{"build -o README.md --kernel ./README.md", "README.md is read"},
		{"build -o README.md --kernel k --initrd README.md", "README.md is read"},
		{"build -o README.md --kernel k --disk README.md,ro", "README.md is read"},
		{"extract -o README.md ./README.md config", "README.md is read"},
		{"sign -s README.md -o README.md a.torpor", "README.md is read"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[128], *argv[16] = {NULL}, *rest = line;
		struct err err = {0};
		int argc = 0;

		snprintf(line, sizeof(line), "%s", cases[i].line);
		while ((argv[argc] = strsep(&rest, " ")) != NULL)
			argc++;
		cr_expect(eq(i32, run_verb(command_find(argv[0]), argc, argv, &err), -EINVAL), "%s",
			  cases[i].line);
		cr_expect(eq(i32, (int)err.kind, ERR_USAGE), "%s", cases[i].line);
		cr_expect(ne(ptr, strstr(err.text, cases[i].refusal), NULL), "%s: %s",
			  cases[i].line, err.text);
	}
}

static char *read_whole(const char *path)
{
	const size_t most = 1u << 18;
	char *text = calloc(1, most);
	FILE *f = fopen(path, "r");

	cr_assert(ne(ptr, f, NULL), "run the tests in the project's root");
	cr_assert(ge(sz, fread(text, 1, most - 1, f), 1));
	fclose(f);
	return text;
}

/* The committed file with what the tables say now. */
static char *with_tables(const struct completion *completion, const char *committed)
{
	const char *begin = strstr(committed, COMPLETION_BEGIN);
	const char *end = strstr(committed, COMPLETION_END);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert(begin != NULL && end != NULL && begin < end, "%s", completion->path);
	begin += strlen(COMPLETION_BEGIN);
	fwrite(committed, 1, (size_t)(begin - committed), out);
	completion->print(out);
	fputs(end, out);
	fclose(out);
	return text;
}

Test(cli_verbs, the_completion_is_the_committed_one)
{
	for (size_t i = 0; i < ARRAY_SIZE(completions); i++) {
		char *committed = read_whole(completions[i].path);
		char *printed = with_tables(&completions[i], committed);

		if (getenv("UPDATE_GOLDEN") != NULL) {
			FILE *f = fopen(completions[i].path, "w");

			cr_assert(ne(ptr, f, NULL));
			fputs(printed, f);
			fclose(f);
		} else {
			cr_expect(eq(str, committed, printed),
				  "run the runner with UPDATE_GOLDEN=1");
		}
		free(printed);
		free(committed);
	}
}

Test(cli_verbs, kinds_of_errors_have_their_status)
{
	static const struct {
		enum err_kind kind;
		int status;
	} cases[] = {{ERR_FAILED, 125},	   {ERR_USAGE, 125},	 {ERR_INCOMPATIBLE, 120},
		     {ERR_INTEGRITY, 121}, {ERR_NOT_FOUND, 122}, {ERR_MISMATCH, 123}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {.kind = cases[i].kind};

		cr_expect(eq(i32, command_exit_status(&err), cases[i].status));
	}
}

static const struct option_spec sample[] = {
	{'f', "flag", NULL, "a flag"},
	{'v', "value", "X", "a value"},
	{OPTION_LONG_ONLY + 1, "long", "X", "no letter"},
	{OPTION_LONG_ONLY + 2, "may", "[=X]", "a value or none"},
	{'p', "part", "[X:]Y", "a value, a part of which may be left out"},
	{0},
};

/* Parse words into "ID=VALUE " for each option, then "<OPERAND>" for each operand. */
static void parse_words(char *out, size_t size, char *words, struct err *err)
{
	char verb[] = "verb", *argv[16] = {verb}, *save = NULL;
	const char *operand;
	struct options o;
	int argc = 1, id;

	for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	out[0] = '\0';
	options_init(&o, sample, argc, argv);
	while ((id = options_next(&o, err)) > 0)
		snprintf(out + strlen(out), size - strlen(out), "%d=%s ", id,
			 o.value != NULL ? o.value : "");
	while (id == 0 && (operand = options_operand(&o)) != NULL)
		snprintf(out + strlen(out), size - strlen(out), "<%s>", operand);
}

Test(cli_options, parsing)
{
	static const struct {
		char words[48], parsed[48], error[48];
	} cases[] = {
		{"a b", "<a><b>", ""},
		{"-f a", "102= <a>", ""},
		{"a -f", "102= <a>", ""},
		{"-fv1 a", "102= 118=1 <a>", ""},
		{"--value=2 --long 3", "118=2 257=3 ", ""},
		{"-- -f", "<-f>", ""},
		{"--may a", "258= <a>", ""},
		{"--may=4 a", "258=4 <a>", ""},
		{"--part 1:2 --part=3 -p 4 a", "112=1:2 112=3 112=4 <a>", ""},
		{"--part", "", "--part needs a value"},
		{"-x", "", "unknown option -x"},
		{"--nope", "", "unknown option --nope"},
		{"-v", "", "--value needs a value"},
		{"--flag=1", "", "--flag takes no value"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char words[48], out[128], *got = out;
		struct err err = {0};

		memcpy(words, cases[i].words, sizeof(words));
		parse_words(out, sizeof(out), words, &err);
		cr_expect(eq(str, got, (char *)cases[i].parsed), "%s", cases[i].words);
		cr_expect(strncmp(err.text, cases[i].error, strlen(cases[i].error)) == 0, "%s: %s",
			  cases[i].words, err.text);
		cr_expect(eq(i32, err.kind == ERR_USAGE, cases[i].error[0] != '\0'));
	}
}

/* ---- values ---- */

Test(cli_values, memory)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"512", MIB(512)},	 {"64K", KIB(64)},
		    {"256M", MIB(256)},	 {"1G", GIB(1)},
		    {"2T", GIB(2048)},	 {"1g", GIB(1)},
		    {"3GiB", GIB(3)},	 {"0", 0},
		    {"512MB", MIB(512)}, {"1GiB", GIB(1)},
		    {"3.5G", MIB(3584)}, {"1.25gb", MIB(1280)},
		    {"0.5", KIB(512)},	 {"1.5GiB", MIB(1536)}};
	static const char *const bad[] = {
		"",	    "M",   "-1",     "+1",   " 1",
		"1.G",	    ".5G", "1.5.5G", "1B",   "1X",
		"1MBB",	    "1MX", "0x1",    "1G G", "99999999999999999999",
		"20000000T"};
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_expect(eq(i32, parse_memory(good[i].text, &bytes, NULL), 0), "%s", good[i].text);
		cr_expect(eq(u64, bytes, good[i].bytes), "%s", good[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = {0};

		cr_expect(lt(i32, parse_memory(bad[i], &bytes, &err), 0), "%s", bad[i]);
		cr_expect(eq(i32, (int)err.kind, ERR_USAGE));
	}
}

Test(cli_values, names)
{
	char longest[65];
	static const char *const good[] = {"a", "7", "web-1", "a.b_c", "A9"};
	static const char *const bad[] = {"",	 ".",	"..",  "-d",	  "_x",
					  "a/b", "a b", "a\n", "\xc3\xa4"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		cr_expect(name_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect(not(name_is_valid(bad[i])), "%s", bad[i]);
	memset(longest, 'a', 64);
	longest[64] = '\0';
	cr_expect(not(name_is_valid(longest)));
	longest[63] = '\0';
	cr_expect(name_is_valid(longest));
}

Test(cli_values, a_published_port_may_name_the_guest_s_alone)
{
	struct net_forward forward;
	struct err err;

	cr_assert(eq(int, parse_forward("80", &forward, &err), 0));
	cr_expect(eq(u16, forward.guest_port, 80));
	cr_expect(eq(u16, forward.host_port, 0));
	cr_expect(not(forward.udp));
	cr_assert(eq(int, parse_forward("53/udp", &forward, &err), 0));
	cr_expect(forward.udp);
	cr_expect(lt(int, parse_forward(":80", &forward, &err), 0));
	cr_expect(lt(int, parse_forward("80:", &forward, &err), 0));
	cr_expect(lt(int, parse_forward("", &forward, &err), 0));
	cr_expect(lt(int, parse_forward("0", &forward, &err), 0));
}

Test(cli_values, disks)
{
	static const struct {
		char text[32], path[32], id[24];
		enum disk_mode mode;
		bool has_mode, alone;
	} good[] = {
		{"a.img", "a.img", "", DISK_SCRATCH, false, false},
		{"a.img,scratch", "a.img", "", DISK_SCRATCH, true, false},
		{"a.img,ro", "a.img", "", DISK_RO, true, false},
		{"a.img,rw", "a.img", "", DISK_RW, true, false},
		{"a.img,id=root", "a.img", "root", DISK_SCRATCH, false, false},
		{"a.img,ro,id=x", "a.img", "x", DISK_RO, true, false},
		{"a.img,id=x,rw,share=no", "a.img", "x", DISK_RW, true, true},
		{"a,b.img", "a,b.img", "", DISK_SCRATCH, false, false},
		{"a,ro.img,ro", "a,ro.img", "", DISK_RO, true, false},
		{"data=a.img,rw", "a.img", "data", DISK_RW, true, false},
		{"a.img,rw,direct", "a.img", "", DISK_RW, true, false},
		{"data=a.img,direct,rw", "a.img", "data", DISK_RW, true, false},
		{"/tmp/x=y.img", "/tmp/x=y.img", "", DISK_SCRATCH, false, false},
		{"data=/dev/x=y", "/dev/x=y", "data", DISK_SCRATCH, false, false},
	};
	static const char *const bad[] = {",ro",
					  "a,id=",
					  "a,id=012345678901234567890",
					  "a,id=a b",
					  "a.img,readonly",
					  "a.img,rw,ro",
					  "a.img,share=yes",
					  "data=",
					  "a b=c",
					  "data=a.img,id=other",
					  "a.img,ro,snapshot=on",
					  "a.img,format=qcow2"};
	struct disk_arg disk;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char *path = disk.path, *id = disk.id;

		cr_expect(eq(i32, parse_disk(good[i].text, &disk, NULL), 0), "%s", good[i].text);
		cr_expect(eq(str, path, (char *)good[i].path));
		cr_expect(eq(str, id, (char *)good[i].id));
		cr_expect(eq(i32, disk.mode, good[i].mode), "%s", good[i].text);
		cr_expect(eq(i32, disk.has_mode, good[i].has_mode), "%s", good[i].text);
		cr_expect(eq(i32, disk.alone, good[i].alone), "%s", good[i].text);
		cr_expect(eq(i32, disk.direct, strstr(good[i].text, ",direct") != NULL), "%s",
			  good[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect(lt(i32, parse_disk(bad[i], &disk, NULL), 0), "%s", bad[i]);
}

Test(cli_values, machine_options)
{
	static const struct {
		int id;
		const char *value;
		int ret;
	} cases[] = {
		{OPT_MEMORY, "64M", 1},		{OPT_MEMORY, "0", -EINVAL},
		{OPT_MEMORY, "5T", -EINVAL},	{OPT_MEMORY, "256G", 1},
		{OPT_MEMORY, "1100K", -EINVAL}, {OPT_VCPUS, "1", 1},
		{OPT_VCPUS, "64", 1},		{OPT_VCPUS, "0", -EINVAL},
		{OPT_VCPUS, "65", -EINVAL},	{OPT_CPU, "v3", 1},
		{OPT_CPU, "v4", -EINVAL},	{OPT_CONSOLE, "hvc0", 1},
		{OPT_CONSOLE, "tty", -EINVAL},	{'d', NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct machine_args args = {0};
		struct err err = {0};

		cr_expect(eq(i32, machine_args_take(&args, cases[i].id, cases[i].value, &err),
			     cases[i].ret),
			  "option %d = %s", cases[i].id, cases[i].value);
	}
}

Test(cli_values, disks_may_not_share_a_name)
{
	static struct machine_args args;

	cr_assert(eq(i32, machine_args_take(&args, OPT_DISK, "a,id=x", NULL), 1));
	cr_assert(eq(i32, machine_args_take(&args, OPT_DISK, "b", NULL), 1));
	cr_expect(lt(i32, machine_args_take(&args, OPT_DISK, "c,id=x", NULL), 0));
	cr_expect(eq(u32, args.disks.n, 2));
}

Test(cli_values, a_disk_of_an_image_comes_first_and_the_others_keep_their_names)
{
	static struct disk_args args;
	char *first = args.disk[0].id;

	cr_assert(eq(i32, disk_args_take(&args, OPT_DISK, "a", NULL), 1));
	cr_assert(eq(i32, disk_args_take(&args, OPT_DISK, "b,rw", NULL), 1));
	cr_assert(eq(i32, disk_args_insert(&args, "root.img", "root", NULL), 0));
	cr_expect(eq(u32, args.n, 3));
	cr_expect(eq(str, first, (char *)"root"));
	cr_expect(eq(u32, args.number[1], 0));
	cr_expect(eq(u32, args.number[2], 1));
	cr_expect(disk_args_write(&args));
}

/* ---- paths and claims ---- */

static char scratch[] = "/tmp/torpor-test-XXXXXX";

static void enter_scratch(void)
{
	cr_assert(ne(ptr, mkdtemp(scratch), NULL));
	setenv("XDG_RUNTIME_DIR", scratch, 1);
	setenv("XDG_STATE_HOME", scratch, 1);
	setenv("XDG_DATA_HOME", scratch, 1);
}

static void leave_scratch(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", scratch);
	cr_assert(eq(i32, system(command), 0));
}

Test(cli_paths, xdg)
{
	struct path path;
	char *text = path.text;

	setenv("XDG_RUNTIME_DIR", "/r", 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_DATA_HOME", "/d", 1);
	cr_assert(eq(i32, path_runtime(&path, "web", "control", NULL), 0));
	cr_expect(eq(str, text, (char *)"/r/torpor/web/control"));
	cr_assert(eq(i32, path_state(&path, "web", "", NULL), 0));
	cr_expect(eq(str, text, (char *)"/s/torpor/web"));
	cr_assert(eq(i32, path_store(&path, "web", NULL), 0));
	cr_expect(eq(str, text, (char *)"/d/torpor/web.torpor"));
	setenv("XDG_CONFIG_HOME", "/c", 1);
	cr_assert(eq(i32, path_trust(&path, NULL), 0));
	cr_expect(eq(str, text, (char *)"/c/torpor/trust"));

	unsetenv("XDG_STATE_HOME");
	setenv("XDG_DATA_HOME", "relative", 1); /* to be ignored, says the specification */
	setenv("HOME", "/h", 1);
	cr_assert(eq(i32, path_state(&path, "web", "", NULL), 0));
	cr_expect(eq(str, text, (char *)"/h/.local/state/torpor/web"));
	cr_assert(eq(i32, path_store(&path, "web", NULL), 0));
	cr_expect(eq(str, text, (char *)"/h/.local/share/torpor/web.torpor"));
}

Test(cli_paths, too_long_is_refused)
{
	char home[PATH_MAX + 1];
	struct path path;

	memset(home, 'x', sizeof(home) - 1);
	home[0] = '/';
	home[sizeof(home) - 1] = '\0';
	setenv("XDG_STATE_HOME", home, 1);
	cr_assert(eq(i32, path_state(&path, "web", "", NULL), -ENAMETOOLONG));
}

Test(cli_paths, a_runtime_folder_open_to_others_is_refused, .init = enter_scratch,
     .fini = leave_scratch)
{
	struct path root;

	cr_assert(eq(i32, path_runtime_root(&root, NULL), 0));
	cr_assert(eq(i32, path_runtime_ready(NULL), 0));
	cr_assert(eq(i32, chmod(root.text, 0755), 0));
	cr_assert(lt(i32, path_runtime_ready(NULL), 0));
}

Test(cli_claim, a_name_is_held_by_one, .init = enter_scratch, .fini = leave_scratch)
{
	struct claim first, second, third;
	struct err err;
	char *name = third.name;

	cr_assert(not(claim_is_held("web")));
	cr_assert(eq(i32, claim_name(&first, "web", &err), 0), "%s", err.text);
	cr_expect(claim_is_held("web"));
	cr_expect(claim_is_held("web"), "looking takes nothing");
	cr_expect(lt(i32, claim_name(&second, "web", &err), 0));
	cr_expect(ne(ptr, strstr(err.text, "in use"), NULL));
	cr_assert(eq(i32, claim_free_name(&third, "web", &err), 0));
	cr_expect(eq(str, name, (char *)"web-2"));
	claim_release(&first);
	cr_expect(not(claim_is_held("web")));
	cr_expect(eq(i32, claim_name(&first, "web", &err), 0));
	claim_release(&first);
	claim_release(&third);
}

Test(cli_claim, a_name_with_a_number_is_counted_up, .init = enter_scratch, .fini = leave_scratch)
{
	static const char *const wanted[][4] = {
		{"web", "web", "web-2", "web-3"},
		{"db-2", "db-2", "db-3", "db-4"},
		{"v-007", "v-007", "v-007-2", "v-007-3"},
		{"a-b", "a-b", "a-b-2", "a-b-3"},
		{"d-20261128", "d-20261128", "d-20261128-2", "d-20261128-3"},
	};
	struct claim claim[3];
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(claim); k++) {
			cr_assert(eq(i32, claim_free_name(&claim[k], wanted[i][0], &err), 0));
			cr_expect(eq(str, claim[k].name, (char *)wanted[i][k + 1]));
		}
		for (size_t k = 0; k < ARRAY_SIZE(claim); k++)
			claim_release(&claim[k]);
	}
}

Test(cli_claim, what_a_killed_process_left_is_reused, .init = enter_scratch, .fini = leave_scratch)
{
	struct claim claim;
	struct path lock;

	cr_assert(eq(i32, claim_name(&claim, "web", NULL), 0));
	close(claim.fd); /* as the kernel does at its death: the files stay */
	close(claim.state_fd);
	cr_assert(eq(i32, path_runtime(&lock, "web", "lock", NULL), 0));
	cr_assert(eq(i32, access(lock.text, F_OK), 0));
	cr_expect(not(claim_is_held("web")));
	cr_expect(machine_is_known("web"));
	cr_assert(eq(i32, claim_name(&claim, "web", NULL), 0));
	claim_release(&claim);
	cr_expect(not(machine_is_known("web")));
}

Test(cli_claim, random_names_are_names, .init = enter_scratch, .fini = leave_scratch)
{
	struct claim a, b;
	char *first = a.name, *second = b.name;

	cr_assert(eq(i32, claim_free_name(&a, NULL, NULL), 0));
	cr_assert(eq(i32, claim_free_name(&b, NULL, NULL), 0));
	cr_expect(name_is_valid(a.name));
	cr_expect(ne(str, first, second));
	claim_release(&a);
	claim_release(&b);
}

Test(cli_record, round_trip, .init = enter_scratch, .fini = leave_scratch)
{
	struct record in = {.end = MACHINE_END_FAILED,
			    .when = 1234567890123,
			    .started = 1234567890000,
			    .origin = "/a/\"web\".torpor",
			    .status = 3,
			    .error = "KVM: \xff"};
	struct record out;
	char *error = out.error, *origin = out.origin;

	cr_assert(lt(i32, record_read("web", &out, NULL), 0));
	cr_assert(eq(i32, record_write("web", &in, NULL), 0));
	cr_assert(eq(i32, record_read("web", &out, NULL), 0));
	cr_expect(eq(i32, (int)out.end, MACHINE_END_FAILED));
	cr_expect(eq(i64, out.when, in.when));
	cr_expect(eq(i32, out.status, 3));
	cr_expect(eq(i64, out.started, in.started));
	cr_expect(eq(str, origin, in.origin));
	cr_expect(eq(str, error, (char *)"KVM: ?"));
	cr_assert(eq(i32, record_begin("web", NULL), 0));
	cr_expect(lt(i32, record_read("web", &out, NULL), 0));
	record_remove_all("web");
	cr_expect(not(machine_is_known("web")));
}

Test(cli_target, machine_before_file_before_store, .init = enter_scratch, .fini = leave_scratch)
{
	struct target target;
	struct claim claim;
	struct path store;

	cr_assert(eq(i32, chdir(scratch), 0));
	cr_assert(eq(i32, target_find(&target, "web", NULL), -ENOENT));
	cr_assert(eq(i32, path_store(&store, "web", NULL), 0));
	cr_assert(eq(i32, path_make_parents(&store, NULL), 0));
	cr_assert(eq(i32, creat(store.text, 0600) >= 0, 1));
	cr_assert(eq(i32, target_find(&target, "web", NULL), 0));
	cr_expect(eq(i32, (int)target.kind, TARGET_STORED));
	cr_expect(eq(i32, strcmp(target.file, store.text), 0));

	cr_assert(eq(i32, creat("web", 0600) >= 0, 1));
	cr_assert(eq(i32, target_find(&target, "web", NULL), 0));
	cr_expect(eq(i32, (int)target.kind, TARGET_FILE));

	cr_assert(eq(i32, claim_name(&claim, "web", NULL), 0));
	cr_assert(eq(i32, target_find(&target, "web", NULL), 0));
	cr_expect(eq(i32, (int)target.kind, TARGET_MACHINE));
	cr_assert(eq(i32, target_find(&target, "./web", NULL), 0));
	cr_expect(eq(i32, (int)target.kind, TARGET_FILE), "a path is never a machine");
	claim_release(&claim);
	cr_assert(eq(i32, chdir("/"), 0));
}

/* ---- protocol ---- */

static void feed(struct line_buffer *lines, const char *text)
{
	int ends[2];

	cr_assert(eq(i32, pipe(ends), 0));
	cr_assert(eq(i64, write(ends[1], text, strlen(text)), (ssize_t)strlen(text)));
	cr_assert(eq(i32, line_buffer_read(lines, ends[0]), (int)strlen(text)));
	close(ends[0]);
	close(ends[1]);
}

Test(cli_protocol, lines_come_whole)
{
	struct line_buffer lines = {0};
	const uint8_t *rest;
	size_t len;

	feed(&lines, "{\"do\":");
	cr_expect(eq(ptr, line_buffer_next(&lines), NULL));
	feed(&lines, "1}\nsecond\nthi");
	cr_expect(eq(str, line_buffer_next(&lines), (char *)"{\"do\":1}"));
	cr_expect(eq(str, line_buffer_next(&lines), (char *)"second"));
	cr_expect(eq(ptr, line_buffer_next(&lines), NULL));
	feed(&lines, "rd\nraw");
	cr_expect(eq(str, line_buffer_next(&lines), (char *)"third"));
	rest = line_buffer_rest(&lines, &len);
	cr_assert(eq(sz, len, 3));
	cr_expect(eq(i32, memcmp(rest, "raw", 3), 0));
	line_buffer_free(&lines);
}

Test(cli_protocol, a_line_without_end_is_refused)
{
	struct line_buffer lines = {0};
	static char block[8192];
	int ends[2], ret = 0;

	memset(block, 'x', sizeof(block));
	cr_assert(eq(i32, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0));
	for (size_t sent = 0; ret >= 0 && sent <= PROTOCOL_LINE_MAX; sent += sizeof(block)) {
		cr_assert(eq(i64, write(ends[1], block, sizeof(block)), (ssize_t)sizeof(block)));
		ret = line_buffer_read(&lines, ends[0]);
	}
	cr_expect(eq(i32, ret, -EMSGSIZE));
	line_buffer_free(&lines);
	close(ends[0]);
	close(ends[1]);
}

static unsigned count_open(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The kernel rounds the room for one up to that for two. */
Test(cli_protocol, several_descriptors_at_once_are_none)
{
	struct line_buffer lines = {0};
	char buffer[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = {(char[]){'x'}, 1};
	int ends[2], passed = -1, fds[4] = {0};

	cr_assert(eq(i32, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0));
	for (unsigned n = 1; n <= 4; n++) {
		unsigned before = count_open();
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = memset(buffer, 0, sizeof(buffer)),
				     .msg_controllen = CMSG_SPACE(n * sizeof(int))};

		*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
							.cmsg_type = SCM_RIGHTS,
							.cmsg_len = CMSG_LEN(n * sizeof(int))};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n * sizeof(int));
		cr_assert(eq(i64, sendmsg(ends[1], &msg, 0), 1));
		cr_assert(eq(i32, line_buffer_receive(&lines, ends[0], &passed), 1));
		cr_expect(ge(i32, passed, 0), "the first one stays");
		cr_expect(eq(u32, count_open(), before + (n == 1)), "%u", n);
	}
	close(passed);
	line_buffer_free(&lines);
	close(ends[0]);
	close(ends[1]);
}

Test(cli_protocol, errors_travel_with_their_kind)
{
	struct err sent, got = {0};
	char *text = got.text;
	json_t *reply;

	for (int kind = ERR_FAILED; kind <= ERR_MISMATCH; kind++) {
		err_set(&sent, (enum err_kind)kind, "because \"%d\"", kind);
		reply = protocol_error(&sent);
		cr_expect(lt(i32, protocol_check(reply, &got), 0));
		cr_expect(eq(i32, (int)got.kind, kind));
		cr_expect(eq(str, text, sent.text));
		json_decref(reply);
	}
	cr_expect(lt(i32, protocol_check(NULL, &got), 0), "not JSON at all");
	reply = json_pack("{s:b,s:s}", "ok", 0, "error", "");
	cr_expect(lt(i32, protocol_check(reply, &got), 0));
	cr_expect(ne(str, text, (char *)""));
	json_decref(reply);
}

/* ---- escape ---- */

Test(cli_escape, tildes)
{
	static const struct {
		char typed[16], sent[16];
		bool leave;
		unsigned breaks;
		unsigned helps;
	} cases[] = {
		{"ls\r", "ls\r", false, 0, 0}, {"~.", "", true, 0, 0},
		{"a~.", "a~.", false, 0, 0},   {"a\r~.b", "a\r", true, 0, 0},
		{"~~x", "~x", false, 0, 0},    {"~x", "~x", false, 0, 0},
		{"\n~.", "\n", true, 0, 0},    {"~\r~.", "~\r", true, 0, 0},
		{"~", "", false, 0, 0},	       {"a\r~Bh", "a\rh", false, 1, 0},
		{"~B~B~.", "", true, 2, 0},    {"a~B", "a~B", false, 0, 0},
		{"~~B", "~B", false, 0, 0},    {"~b", "~b", false, 0, 0},
		{"~?x", "x", false, 0, 1},     {"a~?", "a~?", false, 0, 0},
		{"~??~?", "?~?", false, 0, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Byte by byte and at once: keys arrive as they like. */
		for (size_t step = 1; step <= sizeof(cases[i].typed); step += 15) {
			enum escape_state state = ESCAPE_LINE_START;
			size_t len = strlen(cases[i].typed), n = 0;
			uint8_t out[34] = {0};
			char *sent = (char *)out;
			unsigned breaks = 0, helps = 0;
			bool leave = false;

			for (size_t at = 0, used; at < len && !leave; at += used) {
				enum escape_action action;

				n += escape_filter(&state, (const uint8_t *)cases[i].typed + at,
						   u64_min(step, len - at), out + n, &used,
						   &action);
				leave = action == ESCAPE_LEAVE;
				breaks += action == ESCAPE_BREAK;
				helps += action == ESCAPE_HELP;
			}
			cr_expect(eq(str, sent, (char *)cases[i].sent), "case %zu", i);
			cr_expect(eq(i32, leave, cases[i].leave), "case %zu", i);
			cr_expect(eq(uint, breaks, cases[i].breaks), "case %zu", i);
			cr_expect(eq(uint, helps, cases[i].helps), "case %zu", i);
		}
	}
}

/* A nanosecond a round. Other processes make six of seven runs fifty times as slow. */
static int run_beside_others(void *opaque, uint32_t count, uint64_t *ns, struct err *err)
{
	unsigned *runs = opaque;

	(void)err;
	*ns = (uint64_t)count * (++*runs % 7 == 3 ? 1 : 50);
	return 0;
}

Test(cli_speed, the_best_of_several_runs_counts)
{
	uint64_t per_second;
	unsigned runs = 0;

	cr_assert(eq(i32, guest_speed_best(run_beside_others, &runs, &per_second, NULL), 0));
	cr_expect(ge(u64, per_second, UINT64_C(1900000000)));
	cr_expect(lt(u64, per_second, UINT64_C(2000000001)));
}

/* Each is an allocation of its own, so that the sanitizer sees a read behind its end. */
Test(cli_net, words_that_only_begin_as_one_are_refused)
{
	static const char *const words[] = {"",	    "t",     "ta",  "tap=",  "u",
					    "use",  "users", "l",   "la",    "lan",
					    "lan=", "n",     "non", "user,", "user,host"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct net_args args = {0};
		struct err err = {0};
		char *word = strdup(words[i]);

		cr_expect(eq(i32, net_args_take(&args, OPT_NET, word, &err), -EINVAL), "%s", word);
		cr_expect(eq(int, (int)err.kind, (int)ERR_USAGE), "%s", word);
		cr_expect(eq(u32, args.connections.n, 0), "%s", word);
		free(word);
	}
}

/*
 * The boot processor: options, READY, then one loop that polls for input for ever. See README.md
 * for the protocol.
 */
#include "images/tiny/tiny.h"

struct options options = {.mmio_base = MMIO_BASE, .mmio_stride = 0x1000, .mmio_count = 16};
volatile uint64_t count;
static uint64_t ready_time; /* ticks from tiny_main to READY */
static uint64_t nonce;	    /* only in RAM, so that a reboot cannot pass for a resume */

static void cmd_nonce(const char *args)
{
	(void)args;
	say("nonce %X", nonce);
}

static void cmd_count(const char *args)
{
	(void)args;
	say("count %u", count);
}

static void cmd_count2(const char *args)
{
	(void)args;
	say("count2 %u", count2);
}

static void cmd_ping(const char *args)
{
	say("pong %s", args);
}

static void cmd_readytime(const char *args)
{
	(void)args;
	say("readytime %u", ready_time);
}

static void cmd_bench(const char *args)
{
	(void)args;
	serial_bench();
}

struct input {
	char line[256];
	size_t n;
};

/* One command a line, however many there are. */
/* clang-format off */
static const struct command commands[] = {
	{"arp", cmd_arp},
	{"arpask", cmd_arpask},
	{"arphear", cmd_arphear},
	{"badqueue", cmd_badqueue},
	{"bench", cmd_bench},
	{"check", cmd_check},
	{"checkall", cmd_checkall},
	{"churn", cmd_churn},
	{"churned", cmd_churned},
	{"count", cmd_count},
	{"count2", cmd_count2},
	{"ddiscard", cmd_ddiscard},
	{"dflush", cmd_dflush},
	{"disks", cmd_disks},
	{"dload", cmd_dload},
	{"dread", cmd_dread},
	{"dserial", cmd_dserial},
	{"dbench", cmd_dbench},
	{"dsum", cmd_dsum},
	{"dwrite", cmd_dwrite},
	{"dzeroes", cmd_dzeroes},
	{"fask", cmd_fask},
	{"fcreate", cmd_fcreate},
	{"fhear", cmd_fhear},
	{"fill", cmd_fill},
	{"fillall", cmd_fillall},
	{"flook", cmd_flook},
	{"fopen", cmd_fopen},
	{"fraw", cmd_fraw},
	{"fread", cmd_fread},
	{"fs", cmd_fs},
	{"funlink", cmd_funlink},
	{"fwrite", cmd_fwrite},
	{"genid", cmd_genid},
	{"give", cmd_give},
	{"halt", cmd_halt},
	{"hvc", cmd_hvc},
	{"mem", cmd_mem},
	{"memsum", cmd_memsum},
	{"net", cmd_net},
	{"nonce", cmd_nonce},
	{"ping", cmd_ping},
	{"poweroff", cmd_poweroff},
	{"readytime", cmd_readytime},
	{"reset", cmd_reset},
	{"rng", cmd_rng},
	{"rngfill", cmd_rngfill},
	{"smp", cmd_smp},
	{"touch", cmd_touch},
	{"tsc", cmd_tsc},
	{"vevent", cmd_vevent},
	{"vhear", cmd_vhear},
	{"vsay", cmd_vsay},
	{"vsock", cmd_vsock},
	{NULL, NULL},
};
/* clang-format on */

static bool run_one_of(const struct command *c, const char *name, const char *args)
{
	while (c->name && !str_equal(name, c->name))
		c++;
	if (c->name)
		c->run(args);
	return c->name != NULL;
}

static void run(char *line)
{
	char *args = line;

	while (*args && *args != ' ')
		args++;
	if (*args)
		*args++ = 0;
	if (!run_one_of(commands, line, args) && !run_one_of(arch_commands, line, args))
		say("error command %s", line);
}

static void option_mmio(const char *s)
{
	uint64_t v[3];

	for (int i = 0; i < 3; i++) {
		if (!str_number(&s, &v[i]) || (i < 2 && *s++ != ','))
			return;
	}
	options.mmio_base = v[0];
	options.mmio_stride = v[1];
	options.mmio_count = v[2];
}

static void option_autocmd(const char *s)
{
	size_t n = 0;

	for (; *s && *s != ' ' && n < sizeof(options.autocmd) - 1; s++)
		options.autocmd[n++] = *s == '_' ? ' ' : *s;
	options.autocmd[n] = 0;
}

static bool option_is(const char *s, const char *name)
{
	s = str_after(s, name);
	return s && (!*s || *s == ' ');
}

static void option(const char *s)
{
	const char *value;

	if ((value = str_after(s, "mmio=")))
		option_mmio(value);
	else if ((value = str_after(s, "autocmd=")))
		option_autocmd(value);
	options.hvc |= option_is(s, "console=hvc0");
	options.quiet |= option_is(s, "quiet");
	options.bench |= option_is(s, "bench");
	options.indirect |= option_is(s, "indirect");
	options.eventidx |= option_is(s, "eventidx");
	options.split |= option_is(s, "split");
}

static void options_parse(const char *s)
{
	while (*s) {
		while (*s == ' ')
			s++;
		option(s);
		while (*s && *s != ' ')
			s++;
	}
}

static void run_autocmd(void)
{
	char *line = options.autocmd;

	while (*line) {
		char *end = line;

		while (*end && *end != ';')
			end++;
		if (*end)
			*end++ = 0;
		run(line);
		line = end;
	}
}

static bool line_add(struct input *in, int c)
{
	if (c == '\n' || c == '\r')
		return in->n > 0;
	if (in->n < sizeof(in->line) - 1)
		in->line[in->n++] = (char)c;
	return false;
}

/* The serial port is asked now and then only: each time is an exit to the VMM. */
static _Noreturn void serve(void)
{
	static struct input in;
	bool hvc = options.hvc && console_present();
	int c;

	for (;;) {
		count++;
		if (!hvc && count % 256)
			continue;
		while ((c = hvc ? console_getc() : serial_getc()) >= 0) {
			if (!line_add(&in, c))
				continue;
			in.line[in.n] = 0;
			in.n = 0;
			run(in.line);
			break;
		}
	}
}

static uint64_t make_nonce(void)
{
	uint64_t v = 0;

	rng_read((uint64_t)&v, sizeof(v));
	for (int i = 0; i < 4; i++)
		v = mix(v ^ ticks());
	return v;
}

void tiny_main(const struct boot *boot)
{
	uint64_t start = ticks();

	options_parse(boot->cmdline);
	mem_init(boot);
	serial_init();
	if (options.bench)
		serial_bench();
	virtio_scan();
	nonce = make_nonce();
	if (!options.quiet)
		say("READY nonce=%X", nonce);
	ready_time = ticks() - start;
	run_autocmd();
	serve();
}

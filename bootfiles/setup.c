/* See setup.h. */
#include "bootfiles/setup.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/init_config.h"

/* As Linux numbers them; libc's SIGRTMIN is another, and containers mean this one. */
#define RTMIN 34
#define RTMAX 64

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ABRT", SIGABRT},
	{"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},
	{"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"STOP", SIGSTOP},
	{"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU}, {"WINCH", SIGWINCH},
	{"IO", SIGIO},	   {"PWR", SIGPWR},   {"SYS", SIGSYS},
};

/* A whole number from 0 to 64, or -1. */
static int small_number(const char *text)
{
	char *end;
	unsigned long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	n = strtoul(text, &end, 10);
	return *end == '\0' && n <= RTMAX ? (int)n : -1;
}

int setup_signal(const char *text)
{
	int n = small_number(text);

	if (n >= 1)
		return n;
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (strcmp(text, signals[i].name) == 0)
			return signals[i].number;
	}
	if (strcmp(text, "RTMIN") == 0)
		return RTMIN;
	if (strcmp(text, "RTMAX") == 0)
		return RTMAX;
	n = small_number(text + (strlen(text) > 6 ? 6 : strlen(text)));
	if (n < 0 || n > RTMAX - RTMIN)
		return -EINVAL;
	if (strncmp(text, "RTMIN+", 6) == 0)
		return RTMIN + n;
	return strncmp(text, "RTMAX-", 6) == 0 ? RTMAX - n : -EINVAL;
}

void setup_hostname(const char *source, char name[SETUP_HOSTNAME_SIZE])
{
	const char *base = source, *end;
	size_t n = 0;

	/* The last part of the path, without tag, digest and ending. */
	for (const char *at = source; *at != '\0'; at++) {
		if (*at == '/' && at[1] != '\0')
			base = at + 1;
	}
	if (base == source && strchr(source, ':') != NULL)
		base = strchr(source, ':') + 1;
	end = base + strcspn(base, ":@/");
	for (const char *at = base; at < end && n + 1 < SETUP_HOSTNAME_SIZE; at++) {
		bool good = isalnum((unsigned char)*at) || (*at == '-' && n > 0);

		if (*at == '.')
			break;
		if (good || n > 0)
			name[n++] = (char)(good ? *at : '-');
	}
	while (n > 0 && name[n - 1] == '-')
		n--;
	name[n] = '\0';
	if (n == 0)
		snprintf(name, SETUP_HOSTNAME_SIZE, "guest");
}

static void add(struct buf *out, enum init_config_key key, const char *value)
{
	buf_add_u8(out, (uint8_t)key);
	buf_add(out, value, strlen(value) + 1);
}

/* An empty value says nothing. */
static void add_if(struct buf *out, enum init_config_key key, const char *value)
{
	if (value[0] != '\0')
		add(out, key, value);
}

static void add_strings(struct buf *out, enum init_config_key key, const struct image_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		add(out, key, list->item[i]);
}

static int add_stop_signal(struct buf *out, const char *text, struct err *err)
{
	char number[16];
	int signal;

	if (text[0] == '\0')
		return 0;
	signal = setup_signal(text);
	if (signal < 0)
		return err_set(err, ERR_FAILED, "the image's stop signal %s is none", text);
	snprintf(number, sizeof(number), "%d", signal);
	add(out, INIT_STOP_SIGNAL, number);
	return 0;
}

int setup_write(const struct setup *setup, struct buf *out, struct err *err)
{
	const struct image_config *image = setup->image;
	size_t start = out->len;
	int ret;

	for (size_t i = 0; i < setup->nmodules; i++)
		add(out, INIT_MODULE, setup->modules[i]);
	add(out, INIT_ROOT, setup->root);
	add(out, INIT_ROOT_TYPE, setup->root_type);
	add(out, INIT_HOSTNAME, setup->hostname);
	add_if(out, INIT_USER, image->user);
	add_if(out, INIT_FOLDER, image->workdir);
	ret = add_stop_signal(out, image->stop_signal, err);
	if (ret < 0)
		return ret;
	add_strings(out, INIT_VOLUME, &image->volumes);
	for (size_t i = 0; i < setup->nshares; i++)
		add(out, INIT_SHARE, setup->share[i]);
	add_strings(out, INIT_VARIABLE, &image->env);
	add_strings(out, INIT_ARGUMENT, &image->entrypoint);
	if (setup->command == NULL)
		add_strings(out, INIT_ARGUMENT, &image->cmd);
	for (char *const *word = setup->command; word != NULL && *word != NULL; word++)
		add(out, INIT_ARGUMENT, *word);
	if (buf_failed(out))
		return err_sys(err, ENOMEM, "write what the guest is told");
	if (out->len - start > INIT_CONFIG_MAX)
		return err_set(err, ERR_FAILED,
			       "command, variables and volumes of the image are longer than 1 MiB");
	return 0;
}

/*
 * See passphrase.h. While it is typed the terminal does not echo. Signals that would end or stop us
 * then wait until the terminal is as it was: they are blocked, seen through a signalfd, and strike
 * when they are let in again.
 */
#include "cli/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "base/cleanup.h"
#include "base/io.h"

void passphrase_wipe(struct passphrase *p)
{
	explicit_bzero(p, sizeof(*p));
}

/* How a verb calls what it reads, and the options that give it without a terminal. */
struct secret_words {
	const char *noun;
	const char *prompt;
	const char *option;
	const char *of_stdin;
};

static const struct secret_words passphrase_words = {"passphrase", "Passphrase for",
						     "--passphrase-file", "--passphrase-file -"};
static const struct secret_words password_words = {"password", "Password for", "--password-stdin",
						   "--password-stdin"};

/* Of `len` bytes read, the first line. One byte more than fits tells that it is too long. */
static int take_line(struct passphrase *p, const struct secret_words *words, const char *data,
		     size_t len, struct err *err)
{
	const char *end = memchr(data, '\n', len);

	p->len = end != NULL ? (size_t)(end - data) : len;
	if (p->len > PASSPHRASE_MAX)
		return err_set(err, ERR_USAGE, "the %s is longer than %u bytes", words->noun,
			       PASSPHRASE_MAX);
	if (p->len == 0 || memchr(data, '\0', p->len) != NULL)
		return err_set(err, ERR_USAGE, "the %s is empty or no text", words->noun);
	memcpy(p->text, data, p->len);
	p->text[p->len] = '\0';
	return 0;
}

static int from_file(struct passphrase *p, const struct secret_words *words, const char *file,
		     struct err *err)
{
	bool is_stdin = strcmp(file, "-") == 0;
	cleanup_fd int fd = is_stdin ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
	char data[PASSPHRASE_MAX + 2];
	int64_t len;
	int ret;

	if (fd < 0)
		return err_sys(err, errno, "passphrase file %s", file);
	len = io_read_upto(fd, data, sizeof(data));
	if (len < 0)
		return err_sys(err, (int)-len, "passphrase file %s", file);
	ret = take_line(p, words, data, (size_t)len, err);
	explicit_bzero(data, sizeof(data));
	if (ret < 0 && is_stdin)
		return err_context(err, ret, "standard input, which %s reads", words->of_stdin);
	return ret < 0 ? err_context(err, ret, "passphrase file %s", file) : 0;
}

/* One line, unless a signal comes first. */
static int read_typed(struct passphrase *p, const struct secret_words *words, int tty, int signals,
		      struct err *err)
{
	struct pollfd polled[] = {{.fd = tty, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	char data[PASSPHRASE_MAX + 2];
	ssize_t len;
	int ret;

	if (poll(polled, 2, -1) < 0)
		return err_sys(err, errno, "terminal");
	if (polled[1].revents != 0)
		return err_set(err, ERR_FAILED, "interrupted");
	len = read(tty, data, sizeof(data));
	if (len < 0)
		return err_sys(err, errno, "terminal");
	ret = take_line(p, words, data, (size_t)len, err);
	explicit_bzero(data, sizeof(data));
	return ret;
}

static int read_unseen(struct passphrase *p, const struct secret_words *words, int tty, int signals,
		       struct err *err)
{
	struct termios seen, unseen;
	int ret;

	if (tcgetattr(tty, &seen) < 0)
		return err_sys(err, errno, "terminal");
	unseen = seen;
	unseen.c_lflag &= ~(tcflag_t)ECHO;
	unseen.c_lflag |= ICANON | ISIG | ECHONL;
	if (tcsetattr(tty, TCSAFLUSH, &unseen) < 0)
		return err_sys(err, errno, "terminal");
	ret = read_typed(p, words, tty, signals, err);
	tcsetattr(tty, TCSAFLUSH, &seen);
	return ret;
}

static int ask(struct passphrase *p, const struct secret_words *words, int tty, const char *prompt,
	       const char *what, struct err *err)
{
	sigset_t held, before;
	int signals, ret;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGQUIT);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGHUP);
	sigaddset(&held, SIGTSTP);
	sigprocmask(SIG_BLOCK, &held, &before);
	signals = signalfd(-1, &held, SFD_CLOEXEC);
	dprintf(tty, "%s %s: ", prompt, what);
	ret = signals >= 0 ? read_unseen(p, words, tty, signals, err)
			   : err_sys(err, errno, "signalfd");
	close(signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ret;
}

static int from_terminal(struct passphrase *p, const struct secret_words *words, const char *what,
			 bool new, struct err *err)
{
	cleanup_fd int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	cleanup_passphrase struct passphrase again = {.len = 0};
	int ret;

	if (tty < 0)
		return err_set(err, ERR_USAGE,
			       "a %s is needed, and there is no terminal to ask at: use %s",
			       words->noun, words->option);
	ret = ask(p, words, tty, new ? "New passphrase for" : words->prompt, what, err);
	if (ret < 0 || !new)
		return ret;
	ret = ask(&again, words, tty, "Once more, for", what, err);
	if (ret < 0)
		return ret;
	if (strcmp(p->text, again.text) != 0)
		return err_set(err, ERR_USAGE, "the two passphrases differ");
	return 0;
}

int passphrase_read(struct passphrase *p, const char *file, const char *what, bool new,
		    struct err *err)
{
	return file != NULL ? from_file(p, &passphrase_words, file, err)
			    : from_terminal(p, &passphrase_words, what, new, err);
}

int password_read(struct passphrase *p, bool from_stdin, const char *what, struct err *err)
{
	return from_stdin ? from_file(p, &password_words, "-", err)
			  : from_terminal(p, &password_words, what, false, err);
}

/* See supervise.h. One loop; while a verb starts, saves or stops the machine, connections wait in the
 * queue of their socket. */
#include "cli/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/end_signals.h"
#include "base/io.h"
#include "base/num.h"
#include "base/timer.h"
#include "cli/command.h"
#include "cli/own_program.h"
#include "cli/print_line.h"
#include "host/client.h"
#include "host/detach.h"
#include "host/parse.h"
#include "instance/record.h"
#include "service/notify.h"
#include "service/relay.h"
#include "service/sockets.h"

#define LISTEN	       "listen"
#define ARGUMENTS      (SUPERVISE_OPTIONS + SUPERVISE_PORTS + 16u)
#define ACCEPT_AT_ONCE 64u

/* ---- options ---- */

void supervise_free(struct supervise_args *args)
{
	for (unsigned i = 0; i < args->noptions; i++)
		free(args->option[i]);
	args->noptions = 0;
}

static int note_option(struct supervise_args *args, const struct options *opts, struct err *err)
{
	char *text = NULL;
	int len;

	if (args->noptions == SUPERVISE_OPTIONS)
		return err_set(err, ERR_USAGE, "more than %u options", SUPERVISE_OPTIONS);
	if (opts->value != NULL)
		len = asprintf(&text, "--%s=%s", opts->name, opts->value);
	else
		len = asprintf(&text, "--%s", opts->name);
	if (len < 0)
		return err_sys(err, ENOMEM, "--%s", opts->name);
	args->option[args->noptions++] = text;
	return 0;
}

/* "listen:PORT" or "listen=NAME:PORT". Returns 0 for what is another kind of port. */
static int take_port(struct supervise_args *args, const char *value, struct err *err)
{
	const char *rest = value + sizeof(LISTEN) - 1, *colon;
	uint64_t port;
	size_t len;
	int ret;

	if (strncmp(value, LISTEN, sizeof(LISTEN) - 1) != 0 || (*rest != ':' && *rest != '='))
		return 0;
	colon = strrchr(rest, ':');
	len = *rest == '=' && colon != NULL ? (size_t)(colon - rest) - 1 : 0;
	if (colon == NULL || (*rest == '=' && len == 0) || len >= sizeof(args->port[0].name))
		return err_set(err, ERR_USAGE, "-p %s: it is listen:PORT or listen=NAME:PORT",
			       value);
	if (args->nports == SUPERVISE_PORTS)
		return err_set(err, ERR_USAGE, "more than %u sockets", SUPERVISE_PORTS);
	ret = parse_number(colon + 1, "the port of -p listen", 1, UINT16_MAX, &port, err);
	if (ret < 0)
		return ret;
	snprintf(args->port[args->nports].name, sizeof(args->port[0].name), "%.*s", (int)len,
		 rest + 1);
	args->port[args->nports++].guest = (uint16_t)port;
	return 1;
}

static int take_on_term(struct supervise_args *args, const char *value, struct err *err)
{
	static const struct {
		const char *word;
		enum on_term on_term;
	} words[] = {
		{"stop", ON_TERM_STOP},
		{"poweroff", ON_TERM_STOP}, /* its older name */
		{"save", ON_TERM_SAVE},
		{"kill", ON_TERM_KILL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(value, words[i].word) == 0) {
			args->on_term = words[i].on_term;
			return 1;
		}
	}
	return err_set(err, ERR_USAGE, "--on-term=%s: it is stop, save or kill", value);
}

int supervise_take(struct supervise_args *args, const struct options *opts, int id, struct err *err)
{
	uint64_t seconds;
	int ret;

	switch (id) {
	case OPTION_ON_TERM:
		return take_on_term(args, opts->value, err);
	case OPTION_RESTART:
		ret = restart_parse(&args->restart, opts->value, err);
		return ret < 0 ? ret : 1;
	case OPTION_SAVE_DISKS:
		if (strcmp(opts->value, "inside") != 0 && strcmp(opts->value, "outside") != 0)
			return err_set(err, ERR_USAGE, "--disks=%s: it is inside or outside",
				       opts->value);
		args->disks = opts->value;
		return 1;
	case OPTION_IDLE_SAVE:
		ret = parse_number(opts->value, "--idle-save", 1, 1000000, &seconds, err);
		args->idle_s = ret == 0 ? (unsigned)seconds : 0;
		return ret < 0 ? ret : 1;
	case 'p':
		ret = take_port(args, opts->value, err);
		return ret != 0 ? ret : note_option(args, opts, err);
	default:
		return note_option(args, opts, err);
	}
}

int supervise_check_disks(const struct supervise_args *args, bool write, struct err *err)
{
	bool saves = args->on_term == ON_TERM_SAVE || args->idle_s > 0 ||
		     (args->on_term == ON_TERM_NOTHING && args->nports > 0);

	if (args->disks != NULL && !saves)
		return err_set(err, ERR_USAGE,
			       "--disks: it is for --on-term=save and --idle-save; torpor save has "
			       "it, too");
	if (!saves || !write || args->disks != NULL)
		return 0;
	return err_set(err, ERR_USAGE,
		       "a disk is written through, and the save at the end needs to know what "
		       "becomes of it: add --disks=outside or --disks=inside");
}

bool supervise_wanted(const struct supervise_args *args)
{
	return args->on_term != ON_TERM_NOTHING || args->idle_s > 0 || args->nports > 0 ||
	       args->disks != NULL || args->restart.when != RESTART_NO;
}

/* ---- the service ---- */

struct service;

/* A socket that was passed. */
struct listener {
	struct loop_watch watch;
	struct service *service;
	unsigned i;
	int fd;
};

struct service {
	const struct supervise_args *args;
	const struct supervise_start *start;
	pthread_mutex_t lock;
	struct loop loop;
	struct loop_watch signal_watch, end_watch;
	struct listener listener[SUPERVISE_PORTS];
	int signal_fd, end_fd;
	struct relays relays;
	struct timer idle;
	struct restart restart;
	struct timer again;   /* it is to be started again */
	struct claim claim;   /* on its name until then; fd -1: none */
	int restarts_fd;      /* of claim_restarts(); -1: none yet */
	uint64_t awake_since; /* CLOCK_MONOTONIC, ns */
	int report_fd;	      /* of -d: until it was told; -1: nobody waits */
	bool awake;
	char name[64];
	uint16_t port[SUPERVISE_PORTS]; /* of this host, while it is awake */
	struct client client;		/* of the thread that waits for its end */
	pthread_t waits;
	json_t *said; /* owned, by that thread: how it ended; NULL: it died without a word */
	bool resting; /* it was saved because nobody needs it */
	int status;   /* to exit with */
	int ret;      /* or an error, and then *err says which */
	struct err *err;
};

struct arguments {
	const char *word[ARGUMENTS + 1];
	unsigned n;
};

static void add(struct arguments *a, const char *word)
{
	if (a->n < ARGUMENTS)
		a->word[a->n++] = word;
}

static void *await_end(void *opaque)
{
	struct service *s = opaque;

	/* One that is broken stays, unless it is to be started again. */
	(void)client_call(
		&s->client,
		json_pack("{s:s,s:b}", "do", "wait", "or-broken", s->restart.when != RESTART_NO),
		CLIENT_FOREVER, &s->said, NULL);
	(void)eventfd_write(s->end_fd, 1);
	return NULL;
}

/* Start it, and learn its name: the one line on its standard output. -ECANCELED: a signal came, and
 * there is no machine, or it ends at once (host/detach.h). */
static int start_machine(struct service *s, struct err *err)
{
	const struct supervise_start *start = s->start;
	char publish[SUPERVISE_PORTS][40], name[sizeof(s->name) + sizeof("--name=")];
	struct arguments a = {0};
	struct own_program own = {.argv = a.word, .keep = {-1, -1}, .stop_fd = s->signal_fd};
	cleanup_fd int out = memfd_create("name", MFD_CLOEXEC);
	int64_t len;
	int ret;

	if (out < 0)
		return err_sys(err, errno, "memfd_create");
	add(&a, "torpor");
	add(&a, start->verb);
	add(&a, "-d");
	for (unsigned i = 0; i < s->args->noptions; i++)
		add(&a, s->args->option[i]);
	for (unsigned i = 0; i < s->args->nports; i++) {
		snprintf(publish[i], sizeof(publish[i]), "--publish=127.0.0.1:0:%u",
			 s->args->port[i].guest);
		add(&a, publish[i]);
	}
	/* Started again, it has the name that it had. */
	if (s->name[0] != '\0' && s->restart.when != RESTART_NO) {
		snprintf(name, sizeof(name), "--name=%s", s->name);
		add(&a, name);
	}
	add(&a, "--");
	for (int i = 0; i < start->noperands; i++)
		add(&a, start->operand[i]);
	own.out = out;
	ret = own_program_do(&own, err);
	if (ret < 0)
		return ret;
	if (lseek(out, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "lseek");
	len = io_read_upto(out, s->name, sizeof(s->name) - 1);
	if (len <= 0) {
		s->name[0] = '\0';
		return err_set(err, ERR_FAILED, "the machine has no name");
	}
	s->name[len] = '\0';
	s->name[strcspn(s->name, "\n")] = '\0';
	return 0;
}

/* Where its ports are on this host. */
static int learn_ports(struct service *s, struct err *err)
{
	const json_t *port;
	json_t *reply;
	size_t k;
	int ret;

	if (s->args->nports == 0)
		return 0;
	ret = client_ask(s->name, "ports", &reply, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < s->args->nports; i++) {
		s->port[i] = 0;
		json_array_foreach(json_object_get(reply, "ports"), k, port)
		{
			if (json_integer_value(json_object_get(port, "guest")) ==
				    s->args->port[i].guest &&
			    strcmp(protocol_text(port, "protocol"), "tcp") == 0 &&
			    strcmp(protocol_text(port, "address"), "127.0.0.1") == 0)
				s->port[i] =
					(uint16_t)json_integer_value(json_object_get(port, "host"));
		}
		if (s->port[i] == 0)
			ret = err_set(err, ERR_FAILED, "port %u of %s is not published",
				      s->args->port[i].guest, s->name);
	}
	json_decref(reply);
	return ret;
}

/* It runs: what its service needs of it. */
static int take_machine(struct service *s, struct err *err)
{
	int ret = client_open(&s->client, s->name, err);

	if (ret < 0)
		return err_context(err, ret, "%s has ended at once", s->name);
	ret = learn_ports(s, err);
	if (ret == 0) {
		ret = pthread_create(&s->waits, NULL, await_end, s);
		if (ret != 0)
			ret = err_sys(err, ret, "thread");
	}
	if (ret < 0)
		client_close(&s->client);
	return ret;
}

static void say_failed(const struct service *s, const char *what, const struct err *why)
{
	notify("STATUS=%s goes on: %s failed: %s", s->name, what, why->text);
	print_line(stderr, "torpor: %s: %s goes on: %s: %s", s->start->verb, s->name, what,
		   why->text);
}

/* By this process, which is not a wish that it stays away. */
static void kill_to_start_again(struct service *s)
{
	const bool asked = claim_restarts_asked(s->restarts_fd);
	struct err why = {0};

	if (client_kill_once(s->name, &why) < 0 && why.kind != ERR_NOT_FOUND)
		say_failed(s, "stopping", &why);
	if (!asked)
		claim_restarts_forget(s->restarts_fd);
}

static int wake(struct service *s, struct err *err)
{
	int ret;

	notify("STATUS=waking");
	ret = start_machine(s, err);
	if (ret < 0)
		return ret;
	ret = take_machine(s, err);
	if (ret < 0) {
		/* Its file is as it was. */
		kill_to_start_again(s);
		return ret;
	}
	if (s->restart.when != RESTART_NO && s->restarts_fd < 0)
		s->restarts_fd = claim_restarts(s->name);
	s->awake = true;
	s->awake_since = clock_monotonic_ns();
	notify("READY=1\nSTATUS=%s is awake", s->name);
	/* With -d its name says that. */
	if (s->report_fd < 0)
		print_line(stderr, "torpor: %s: %s is awake", s->start->verb, s->name);
	return 0;
}

/* A verb for the machine, until it is done, or `stop_fd` becomes readable: -ECANCELED. */
static int tell_machine(const char *const *argv, int stop_fd, struct err *err)
{
	struct own_program own = {
		.argv = argv, .keep = {-1, -1}, .out = -1, .stop_fd = stop_fd, .endless = true};

	return own_program_do(&own, err);
}

/* What has ended a verb is not for the next one. Returns the last of them. */
static int forget_signals(const struct service *s)
{
	int number, last = 0;

	while ((number = end_signals_take(s->signal_fd)) != 0)
		last = number;
	return last;
}

static int save(struct service *s, struct err *err)
{
	struct arguments a = {0};

	notify("STATUS=saving %s", s->name);
	add(&a, "torpor");
	add(&a, "save");
	if (s->start->file != NULL) {
		add(&a, "-o");
		add(&a, s->start->file);
	} else if (s->start->stored != NULL && strcmp(s->start->stored, s->name) != 0) {
		add(&a, "--as");
		add(&a, s->start->stored);
	}
	if (s->args->disks != NULL) {
		add(&a, "--disks");
		add(&a, s->args->disks);
	}
	add(&a, "--");
	add(&a, s->name);
	return tell_machine(a.word, s->signal_fd, err);
}

static void give_up(struct service *s, int ret)
{
	s->ret = ret;
	loop_stop(&s->loop);
}

static void finish(struct service *s, int status)
{
	s->status = status;
	loop_stop(&s->loop);
}

static void set_idle(struct service *s)
{
	bool idle = s->awake && s->args->idle_s > 0 && s->relays.open == 0;

	timer_set(&s->idle, idle ? s->args->idle_s * 1000 : 0);
}

static void on_relay_end(void *opaque)
{
	set_idle(opaque);
}

/* Somebody waits to be accepted. */
static bool is_wanted(const struct service *s)
{
	for (unsigned i = 0; i < s->args->nports; i++) {
		struct pollfd p = {s->listener[i].fd, POLLIN, 0};

		if (poll(&p, 1, 0) == 1)
			return true;
	}
	return false;
}

static void on_idle(void *opaque)
{
	struct service *s = opaque;
	uint64_t idle_ns = s->args->idle_s * NS_PER_SECOND;
	struct err why = {0};

	if (!s->awake || s->resting || s->relays.open > 0 || is_wanted(s))
		return;
	/* Clients that say no more may still be told something. */
	if (s->relays.count > 0 && clock_monotonic_ns() - s->relays.moved_ns < idle_ns) {
		set_idle(s);
		return;
	}
	/* Its end comes to on_end(). */
	if (save(s, &why) == 0) {
		s->resting = true;
		return;
	}
	say_failed(s, "saving", &why);
	set_idle(s);
}

static void kill_machine(struct service *s)
{
	const char *const kill[] = {"torpor", "kill", "--", s->name, NULL};
	struct err why = {0};

	if (tell_machine(kill, -1, &why) < 0)
		say_failed(s, "stopping", &why);
}

/* The status that `torpor wait` has for it. */
static int status_of_end(const struct service *s)
{
	const char *const argv[] = {"torpor", "wait", "--", s->name, NULL};
	struct own_program own = {.argv = argv, .keep = {-1, -1}, .out = -1, .stop_fd = -1};
	cleanup_buf struct buf text = {0};
	int wstatus = 0;

	if (own_program_run(&own, &text, &wstatus, NULL) == 0 && WIFEXITED(wstatus))
		return WEXITSTATUS(wstatus);
	return 125;
}

static const char *end_of(const json_t *said)
{
	return said != NULL ? protocol_text(said, "end") : "";
}

/* Its process is there yet. */
static bool stays(const json_t *said)
{
	return strcmp(end_of(said), "halted") == 0 || strcmp(end_of(said), "broken") == 0;
}

static enum restart_ending judge_end(const json_t *said)
{
	const char *end = end_of(said);

	if (strcmp(end, machine_end_name(MACHINE_END_KILLED)) == 0 ||
	    strcmp(end, machine_end_name(MACHINE_END_SAVED)) == 0 ||
	    strcmp(end, machine_end_name(MACHINE_END_MOVED)) == 0 ||
	    json_is_true(json_object_get(said, "asked")))
		return ENDED_ASKED;
	if (strcmp(end, "halted") == 0)
		return ENDED_WELL;
	if (strcmp(end, machine_end_name(MACHINE_END_POWEROFF)) == 0 &&
	    json_integer_value(json_object_get(said, "status")) == 0)
		return ENDED_WELL;
	return ENDED_BADLY;
}

/* Its name stays taken until it is started again: so `torpor kill` finds this process, and nobody
 * else takes it. It is free for a moment before and behind that, in which claim_restarts() makes `torpor kill` wait. */
static bool start_later(struct service *s, enum restart_ending ending)
{
	const uint64_t lived = s->awake_since != 0 ? clock_monotonic_ns() - s->awake_since : 0;
	const int delay = restart_after(&s->restart, ending, lived);

	s->awake_since = 0;
	if (delay < 0)
		return false;
	if (claim_name(&s->claim, s->name, NULL) < 0)
		s->claim.fd = -1;
	notify("STATUS=%s starts again in %d.%d s", s->name, delay / 1000, delay % 1000 / 100);
	print_line(stderr, "torpor: %s: %s has ended: it starts again in %d.%d s", s->start->verb,
		   s->name, delay / 1000, delay % 1000 / 100);
	timer_set(&s->again, (unsigned)delay);
	return true;
}

static void let_name_go(struct service *s)
{
	if (s->claim.fd >= 0)
		claim_release(&s->claim);
	s->claim.fd = -1;
}

static void on_again(void *opaque)
{
	struct service *s = opaque;
	int ret;

	let_name_go(s);
	if (claim_restarts_asked(s->restarts_fd)) {
		finish(s, status_of_end(s));
		return;
	}
	ret = wake(s, s->err);
	if (ret >= 0)
		return;
	/* It was ended before this process has seen it. */
	if (claim_restarts_asked(s->restarts_fd)) {
		finish(s, status_of_end(s));
		return;
	}
	/* A signal: it ends this process. */
	if (ret != -ECANCELED)
		print_line(stderr, "torpor: %s: %s", s->start->verb, s->err->text);
	if (ret == -ECANCELED || !start_later(s, ENDED_BADLY))
		give_up(s, ret);
}

static void on_end(struct loop_watch *watch, uint32_t events)
{
	struct service *s = container_of(watch, struct service, end_watch);
	enum restart_ending ending;
	eventfd_t count;
	bool there;
	int status;

	(void)events;
	(void)eventfd_read(s->end_fd, &count);
	pthread_join(s->waits, NULL);
	client_close(&s->client);
	ending = judge_end(s->said);
	there = stays(s->said);
	json_decref(s->said);
	s->said = NULL;
	s->awake = false;
	timer_set(&s->idle, 0);
	relay_end(&s->relays);
	relay_init(&s->relays, &s->loop, on_relay_end, s);
	if (s->resting) {
		s->resting = false;
		notify("STATUS=asleep");
		print_line(stderr, "torpor: %s: %s is asleep", s->start->verb, s->name);
		return;
	}
	if (claim_restarts_asked(s->restarts_fd))
		ending = ENDED_ASKED;
	if (there)
		kill_to_start_again(s);
	status = status_of_end(s);
	if (!start_later(s, ending))
		finish(s, status);
}

static void power_off(struct service *s)
{
	/* Who started us decides how long that may take. */
	const char *const stop[] = {"torpor", "stop", "--time", "86400", "--", s->name, NULL};
	struct err why = {0};
	int ret = tell_machine(stop, s->signal_fd, &why);

	if (ret == -ECANCELED) {
		forget_signals(s);
		kill_machine(s);
	} else if (ret < 0) {
		say_failed(s, "stopping", &why);
	}
}

static void on_term(struct loop_watch *watch, uint32_t events)
{
	struct service *s = container_of(watch, struct service, signal_watch);
	bool keep = s->args->on_term == ON_TERM_SAVE ||
		    (s->args->on_term == ON_TERM_NOTHING && s->args->idle_s > 0);
	struct err why = {0};
	int ret;

	(void)events;
	if (end_signals_take(s->signal_fd) == 0)
		return;
	/* What was saved because nobody needs it stays saved. */
	if (s->resting) {
		s->resting = false;
		return;
	}
	if (!s->awake) {
		finish(s, 0);
		return;
	}
	notify("STOPPING=1");
	timer_set(&s->idle, 0);
	/* If it goes on all the same, the next start makes it anew. */
	claim_restarts_release(s->name, s->restarts_fd);
	s->restarts_fd = -1;
	if (s->args->on_term == ON_TERM_KILL) {
		kill_machine(s);
		return;
	}
	if (!keep) {
		power_off(s);
		return;
	}
	ret = save(s, &why);
	if (ret == -ECANCELED)
		forget_signals(s);
	if (ret < 0) {
		say_failed(s, "saving", &why);
		set_idle(s);
	}
}

static void on_connection(struct service *s, unsigned i)
{
	struct err why = {0};
	int ret;

	/* It has ended, and that is to be seen first. */
	if (s->resting)
		return;
	if (!s->awake) {
		ret = wake(s, s->err);
		if (ret < 0) {
			give_up(s, ret);
			return;
		}
	}
	for (unsigned n = 0; n < ACCEPT_AT_ONCE && s->relays.count < RELAY_MAX; n++) {
		int fd = accept4(s->listener[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			break;
		if (relay_add(&s->relays, fd, s->port[i], &why) < 0)
			print_line(stderr, "torpor: %s: %s", s->start->verb, why.text);
	}
	set_idle(s);
}

static void on_listen(struct loop_watch *watch, uint32_t events)
{
	struct listener *l = container_of(watch, struct listener, watch);

	(void)events;
	on_connection(l->service, l->i);
}

static int watch_all(struct service *s, struct err *err)
{
	int ret;

	s->signal_fd = end_signals_open(0, err);
	if (s->signal_fd < 0)
		return s->signal_fd;
	s->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->end_fd < 0)
		return err_sys(err, errno, "watch the machine");
	ret = loop_add(&s->loop, &s->signal_watch, s->signal_fd, EPOLLIN, on_term, err);
	if (ret < 0)
		return ret;
	ret = loop_add(&s->loop, &s->end_watch, s->end_fd, EPOLLIN, on_end, err);
	if (ret < 0)
		return ret;
	ret = timer_open(&s->again, &s->loop, on_again, s, err);
	if (ret < 0)
		return ret;
	return timer_open(&s->idle, &s->loop, on_idle, s, err);
}

static int take_sockets(struct service *s, struct err *err)
{
	for (unsigned i = 0; i < s->args->nports; i++) {
		struct listener *l = &s->listener[i];

		l->service = s;
		l->i = i;
		l->fd = sockets_take(s->args->port[i].name, err);
		if (l->fd < 0)
			return l->fd;
	}
	return 0;
}

static int watch_sockets(struct service *s, struct err *err)
{
	for (unsigned i = 0; i < s->args->nports; i++) {
		int ret = loop_add(&s->loop, &s->listener[i].watch, s->listener[i].fd, EPOLLIN,
				   on_listen, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int serve(struct service *s, struct err *err)
{
	int ret = watch_all(s, err);

	if (ret < 0)
		return ret;
	if (s->args->nports > 0) {
		ret = watch_sockets(s, err);
		notify("READY=1\nSTATUS=asleep");
	} else {
		ret = wake(s, err);
	}
	if (ret < 0)
		return ret;
	if (s->report_fd >= 0) {
		/* It is started again with the paths that were given. */
		cleanup_fd int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

		/* Nobody has learned of it: as instance.c does. */
		if (!detach_ready(s->report_fd, s->name))
			kill_machine(s);
		if (here >= 0)
			(void)!fchdir(here);
		s->report_fd = -1;
	}
	ret = loop_run(&s->loop, err);
	if (ret < 0)
		return ret;
	return s->ret < 0 ? s->ret : s->status;
}

/* `report_fd`: who waits for its name; -1: nobody. */
static int supervise_here(const struct supervise_args *args, const struct supervise_start *start,
			  int report_fd, struct err *err)
{
	struct service s = {.args = args,
			    .start = start,
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .signal_fd = -1,
			    .end_fd = -1,
			    .idle = TIMER_CLOSED,
			    .again = TIMER_CLOSED,
			    .claim.fd = -1,
			    .claim.state_fd = -1,
			    .restarts_fd = -1,
			    .restart = args->restart,
			    .report_fd = report_fd,
			    .err = err};
	int ret, stopped;

	ret = take_sockets(&s, err);
	if (ret < 0)
		return ret;
	ret = loop_init(&s.loop, &s.lock, err);
	if (ret < 0)
		return ret;
	relay_init(&s.relays, &s.loop, on_relay_end, &s);
	ret = serve(&s, err);
	/* A signal came while it woke: it ends the service as it ends any program. */
	stopped = ret == -ECANCELED ? forget_signals(&s) : 0;
	relay_end(&s.relays);
	let_name_go(&s);
	claim_restarts_release(s.name, s.restarts_fd);
	timer_close(&s.idle);
	timer_close(&s.again);
	loop_free(&s.loop);
	cleanup_fd_fn(&s.signal_fd);
	cleanup_fd_fn(&s.end_fd);
	if (s.report_fd >= 0)
		detach_failed(s.report_fd, err);
	if (stopped != 0)
		end_signals_die(stopped);
	return ret < 0 && report_fd >= 0 ? command_exit_status(err) : ret;
}

static int supervise_detached(const struct supervise_args *args,
			      const struct supervise_start *start, struct err *err)
{
	char name[DETACH_NAME_SIZE];
	int report_fd, ret = detach_fork(&report_fd, name, err);

	if (ret == 0)
		return supervise_here(args, start, report_fd, err);
	if (ret < 0)
		return ret;
	printf("%s\n", name);
	return 0;
}

int supervise(const struct supervise_args *args, const struct supervise_start *start,
	      struct err *err)
{
	if (args->idle_s > 0 && args->nports == 0)
		return err_set(err, ERR_USAGE,
			       "--idle-save needs a -p listen:PORT: connections to "
			       "it tell that somebody needs the machine");
	if (args->restart.when != RESTART_NO && args->nports > 0)
		return err_set(err, ERR_USAGE,
			       "--restart: a machine with -p listen wakes when somebody connects");
	if (!start->detach)
		return supervise_here(args, start, -1, err);
	if (args->restart.when == RESTART_NO)
		return err_set(err, ERR_USAGE,
			       "-d: a service (--on-term, -p listen) stays in the foreground; with "
			       "--restart it need not");
	return supervise_detached(args, start, err);
}

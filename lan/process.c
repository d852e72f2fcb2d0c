/* See process.h. One thread; nobody takes the loop's lock but the loop. */
#include "lan/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "host/claim.h"
#include "host/control.h"
#include "host/detach.h"
#include "host/paths.h"
#include "host/protocol.h"
#include "host/sandbox.h"
#include "lan/stats.h"

/* Where connections of one kind come in. */
struct entrance {
	struct lan_process *process;
	enum port_kind kind;
	struct loop_watch watch;
	int fd;
};

struct lan_process {
	struct claim claim;
	pthread_mutex_t lock;
	struct loop loop;
	struct lan_switch *lan;
	struct control control;
	struct entrance entrance[3];
	struct loop_watch signal_watch;
	int signal_fd;
	struct log log;
	time_t started;
};

static json_t *answer(void *opaque, const char *what, const json_t *request, struct err *err)
{
	struct lan_process *p = opaque;
	struct path qemu = {0};
	json_t *about;

	(void)request;
	if (strcmp(what, "end") == 0) {
		loop_stop(&p->loop);
		return json_pack("{s:b}", "ok", 1);
	}
	if (strcmp(what, "stats") != 0) {
		err_set(err, ERR_USAGE, "a LAN does not do '%.40s'", what);
		return NULL;
	}
	(void)path_lan(&qemu, p->claim.name, "qemu", NULL);
	about = json_pack("{s:b,s:s,s:i,s:s,s:I}", "ok", 1, "name", p->claim.name, "pid",
			  (int)getpid(), "qemu", qemu.text, "started", (json_int_t)p->started);
	if (about != NULL)
		json_object_update_new(about, lan_stats(p->lan));
	return about;
}

static void on_connection(struct loop_watch *watch, uint32_t events)
{
	struct entrance *entrance = container_of(watch, struct entrance, watch);
	struct lan_process *p = entrance->process;
	int fd = accept4(entrance->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct err err;

	(void)events;
	if (fd >= 0 && lan_switch_plug(p->lan, fd, entrance->kind, &err) < 0)
		log_line(&p->log, "%s", err.text);
}

static int open_entrance(struct lan_process *p, enum port_kind kind, struct err *err)
{
	static const char *const files[] = {
		[PORT_MACHINE] = "port", [PORT_QEMU] = "qemu", [PORT_TRUNK] = "trunk"};
	struct entrance *entrance = &p->entrance[kind];
	struct sockaddr_un addr;
	int ret = path_lan_socket(&addr, p->claim.name, files[kind], err);

	if (ret == 0)
		ret = entrance->fd = control_bind(&addr, err);
	if (ret < 0)
		return ret;
	entrance->process = p;
	entrance->kind = kind;
	return loop_add(&p->loop, &entrance->watch, entrance->fd, EPOLLIN, on_connection, err);
}

/* The control socket last: who finds it finds the others. */
static int open_sockets(struct lan_process *p, struct err *err)
{
	struct sockaddr_un addr;
	int ret = 0;

	for (unsigned kind = 0; ret >= 0 && kind < ARRAY_SIZE(p->entrance); kind++)
		ret = open_entrance(p, kind, err);
	if (ret == 0)
		ret = path_lan_socket(&addr, p->claim.name, "control", err);
	return ret < 0 ? ret : control_listen_at(&p->control, &addr, err);
}

static void on_signal(struct loop_watch *watch, uint32_t events)
{
	struct lan_process *p = container_of(watch, struct lan_process, signal_watch);

	(void)events;
	loop_stop(&p->loop);
}

static int watch_signals(struct lan_process *p, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signal_fd < 0)
		return err_sys(err, errno, "signalfd");
	return loop_add(&p->loop, &p->signal_watch, p->signal_fd, EPOLLIN, on_signal, err);
}

static int open_log(struct lan_process *p, struct err *err)
{
	struct path path;
	int ret = path_lan_log(&path, p->claim.name, err);

	if (ret == 0)
		ret = path_make_parents(&path, err);
	if (ret < 0)
		return ret;
	p->log.fd = open(path.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return p->log.fd < 0 ? err_sys(err, errno, "open %s", path.text) : 0;
}

static int make(struct lan_process *p, const struct gateway_params *gateway, struct err *err)
{
	struct lan_params params = {.name = p->claim.name, .gateway = gateway};
	int ret = open_log(p, err);

	params.log = p->log;
	if (ret == 0)
		ret = loop_init(&p->loop, &p->lock, err);
	if (ret < 0)
		return ret;
	control_init(&p->control, &p->loop);
	p->control.answer = answer;
	p->control.opaque = p;
	ret = lan_switch_new(&p->lan, &p->loop, &params, err);
	if (ret == 0)
		ret = watch_signals(p, err);
	if (ret == 0)
		ret = open_sockets(p, err);
	return ret < 0 ? ret : sandbox_enter(SANDBOX_SWITCH, err);
}

static void unmake(struct lan_process *p)
{
	const int fds[] = {p->entrance[0].fd, p->entrance[1].fd, p->entrance[2].fd, p->signal_fd,
			   p->log.fd};

	if (p->lan != NULL)
		lan_switch_free(p->lan);
	if (p->control.loop != NULL)
		control_close_listener(&p->control);
	claim_release(&p->claim);
	if (p->control.loop != NULL)
		control_finish(&p->control, json_pack("{s:b,s:s}", "ok", 1, "end", "killed"));
	loop_free(&p->loop);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

int lan_process_run(const char *name, const struct gateway_params *gateway, int report_fd,
		    struct err *err)
{
	struct lan_process p = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.loop = {.epoll_fd = -1, .stop_fd = -1},
		.entrance = {{.fd = -1}, {.fd = -1}, {.fd = -1}},
		.signal_fd = -1,
		.log = {.fd = -1, .prefix = name},
		.started = time(NULL),
	};
	int ret = claim_lan(&p.claim, name, err);

	if (ret == 0)
		ret = make(&p, gateway, err);
	if (ret < 0) {
		detach_failed(report_fd, err);
	} else {
		detach_ready(report_fd, name);
		ret = loop_run(&p.loop, err);
	}
	if (ret < 0)
		log_line(&p.log, "%s", err->text);
	unmake(&p);
	return ret;
}

/* See process.h. One thread; only the loop takes its lock. */
#include "lan/process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/end_signals.h"
#include "base/num.h"
#include "host/claim.h"
#include "host/control.h"
#include "host/detach.h"
#include "host/paths.h"
#include "host/protocol.h"
#include "host/sandbox.h"
#include "lan/stats.h"

/* The sockets that ports connect to. */
struct port_listener {
	struct listener listener;
	struct lan_process *process;
	enum port_kind kind;
};

struct lan_process {
	struct claim claim;
	pthread_mutex_t lock;
	struct loop loop;
	struct lan_switch *lan;
	struct control control;
	struct port_listener ports[3];
	struct loop_watch signal_watch;
	int signal_fd;
	struct log log;
	struct log_file log_file;
	time_t started;
};

static json_t *lan_answer(void *opaque, const char *what, const json_t *request, struct err *err)
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

static void on_port_connection(struct listener *listener, int fd)
{
	struct port_listener *ports = container_of(listener, struct port_listener, listener);
	struct lan_process *p = ports->process;
	struct err err;

	if (lan_switch_plug(p->lan, fd, ports->kind, &err) < 0)
		log_line(&p->log, "%s", err.text);
}

/* The control socket last: who finds it finds the others. */
static int open_sockets(struct lan_process *p, struct err *err)
{
	static const char *const files[] = {
		[PORT_MACHINE] = "port", [PORT_QEMU] = "qemu", [PORT_TRUNK] = "trunk"};
	struct path path;
	int ret;

	for (unsigned kind = 0; kind < ARRAY_SIZE(p->ports); kind++) {
		struct port_listener *ports = &p->ports[kind];

		ports->process = p;
		ports->kind = kind;
		ret = path_lan(&path, p->claim.name, files[kind], err);
		if (ret < 0)
			return ret;
		ret = listener_open(&ports->listener, &p->loop, path.text, on_port_connection, err);
		if (ret < 0)
			return ret;
	}
	ret = path_lan(&path, p->claim.name, "control", err);
	return ret < 0 ? ret : control_listen_at(&p->control, path.text, err);
}

static void on_lan_signal(struct loop_watch *watch, uint32_t events)
{
	struct lan_process *p = container_of(watch, struct lan_process, signal_watch);

	(void)events;
	loop_stop(&p->loop);
}

static int lan_watch_signals(struct lan_process *p, struct err *err)
{
	p->signal_fd = end_signals_open(0, err);
	if (p->signal_fd < 0)
		return p->signal_fd;
	return loop_add(&p->loop, &p->signal_watch, p->signal_fd, EPOLLIN, on_lan_signal, err);
}

/* A LAN without a log runs all the same, as a machine does. */
static void lan_open_log(struct lan_process *p)
{
	struct path path;

	/* The sandbox of a switch lets it create no second file. */
	if (path_lan_log(&path, p->claim.name, NULL) == 0 && path_make_parents(&path, NULL) == 0 &&
	    log_file_open(&p->log_file, path.text, HOST_LOG_MAX, LOG_FILE_FRESH, NULL) == 0)
		p->log.file = &p->log_file;
}

static int lan_process_open(struct lan_process *p, const char *name,
			    const struct gateway_params *gateway, struct err *err)
{
	struct lan_params params = {.name = name, .gateway = gateway};
	int ret = claim_lan(&p->claim, name, err);

	if (ret < 0)
		return ret;
	lan_open_log(p);
	params.log = p->log;
	ret = loop_init(&p->loop, &p->lock, err);
	if (ret < 0)
		return ret;
	control_init(&p->control, &p->loop);
	p->control.answer = lan_answer;
	p->control.opaque = p;
	ret = lan_switch_new(&p->lan, &p->loop, &params, err);
	if (ret < 0)
		return ret;
	ret = lan_watch_signals(p, err);
	if (ret < 0)
		return ret;
	ret = open_sockets(p, err);
	return ret < 0 ? ret : sandbox_enter(SANDBOX_SWITCH, err);
}

static void lan_process_close(struct lan_process *p)
{
	if (p->lan != NULL)
		lan_switch_free(p->lan);
	control_close_listeners(&p->control);
	for (unsigned kind = 0; kind < ARRAY_SIZE(p->ports); kind++)
		listener_close(&p->ports[kind].listener);
	claim_release(&p->claim);
	if (p->control.loop != NULL)
		control_finish(&p->control, json_pack("{s:b,s:s}", "ok", 1, "end", "killed"));
	loop_free(&p->loop);
	if (p->signal_fd >= 0)
		close(p->signal_fd);
	log_file_close(&p->log_file);
}

int lan_process_run(const char *name, const struct gateway_params *gateway, int report_fd,
		    struct err *err)
{
	struct lan_process p = {
		.claim = {.fd = -1, .state_fd = -1},
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.loop = {.epoll_fd = -1, .stop_fd = -1},
		.ports = {{.listener = LISTENER_CLOSED},
			  {.listener = LISTENER_CLOSED},
			  {.listener = LISTENER_CLOSED}},
		.control = {.listener = {LISTENER_CLOSED, LISTENER_CLOSED}},
		.signal_fd = -1,
		.log = {.fd = -1, .prefix = name},
		.log_file = LOG_FILE_CLOSED,
		.started = time(NULL),
	};
	int ret = lan_process_open(&p, name, gateway, err);

	if (ret < 0) {
		detach_failed(report_fd, err);
	} else if (detach_ready(report_fd, name)) {
		ret = loop_run(&p.loop, err);
	}
	if (ret < 0)
		log_line(&p.log, "%s", err->text);
	lan_process_close(&p);
	return ret;
}

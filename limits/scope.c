/* See scope.h. */
#include "limits/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "limits/sd_bus_api.h"

#define SYSTEMD	    "org.freedesktop.systemd1"
#define OBJECT	    "/org/freedesktop/systemd1"
#define MANAGER	    "org.freedesktop.systemd1.Manager"
#define PATIENCE_US (30 * UINT64_C(1000000))

struct scope_call {
	const struct sd_bus_api *api;
	sd_bus *bus;
	sd_bus_message *message; /* owned */
	/* The job of systemd that is waited for. */
	char job[256];
	char result[32]; /* "": it is not over */
};

bool scope_is_there(void)
{
	struct stat st;

	return lstat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode);
}

/* Of a systemd without a bus, which small hosts have. */
static int open_private(struct scope_call *c, struct err *err)
{
	const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	char address[512];
	int ret;

	if (runtime == NULL)
		return err_set(err, ERR_FAILED,
			       "this user has no session of systemd: log in, or have root run "
			       "`loginctl enable-linger` for the user");
	snprintf(address, sizeof(address), "unix:path=%s/systemd/private", runtime);
	ret = c->api->new (&c->bus);
	if (ret >= 0)
		ret = c->api->set_address(c->bus, address);
	if (ret >= 0)
		ret = c->api->start(c->bus);
	return ret < 0 ? err_sys(err, -ret, "connect to systemd at %s", address) : 0;
}

static int scope_open(struct scope_call *c, struct err *err)
{
	int ret;

	*c = (struct scope_call){.api = sd_bus_api(err)};
	if (c->api == NULL)
		return -EINVAL;
	ret = geteuid() == 0 ? c->api->open_system(&c->bus) : c->api->open_user(&c->bus);
	if (ret >= 0)
		return 0;
	c->bus = NULL;
	return open_private(c, err);
}

static void scope_close(struct scope_call *c)
{
	if (c->api == NULL)
		return;
	if (c->message != NULL)
		c->api->message_unref(c->message);
	if (c->bus != NULL)
		c->api->close(c->bus);
}
#define cleanup_scope_call __attribute__((cleanup(scope_close)))

static int scope_failed(int ret, const char *unit, const sd_bus_error *why, struct err *err)
{
	return err_set(err, ERR_FAILED, "systemd and %s: %s", unit,
		       why != NULL && why->message != NULL ? why->message : strerror(-ret));
}

static int begin_call(struct scope_call *c, const char *method)
{
	return c->api->message_new(c->bus, &c->message, SYSTEMD, OBJECT, MANAGER, method);
}

static int append_cpuset(struct scope_call *c, const char *cpuset)
{
	uint8_t mask[LIMITS_HOST_CPUS / 8];
	const unsigned len = limits_cpu_mask(cpuset, mask);
	int ret = c->api->open_container(c->message, 'r', "sv");

	if (ret >= 0)
		ret = c->api->append(c->message, "s", "AllowedCPUs");
	if (ret >= 0)
		ret = c->api->open_container(c->message, 'v', "ay");
	if (ret >= 0)
		ret = c->api->append_array(c->message, 'y', mask, len);
	if (ret >= 0)
		ret = c->api->close_container(c->message);
	return ret < 0 ? ret : c->api->close_container(c->message);
}

static uint64_t or_infinity(uint64_t limit)
{
	return limit != 0 ? limit : UINT64_MAX;
}

static int append_limits(struct scope_call *c, const struct limits *l)
{
	int ret = 0;

	if ((l->set & LIMIT_WEIGHT) != 0)
		ret = c->api->append(c->message, "(sv)", "CPUWeight", "t", (uint64_t)l->weight);
	if (ret >= 0 && (l->set & LIMIT_CPUSET) != 0 && l->cpuset[0] != '\0')
		ret = append_cpuset(c, l->cpuset);
	if (ret >= 0 && (l->set & LIMIT_MEMORY) != 0)
		ret = c->api->append(c->message, "(sv)", "MemoryMax", "t", or_infinity(l->memory));
	if (ret >= 0 && (l->set & LIMIT_PIDS) != 0)
		ret = c->api->append(c->message, "(sv)", "TasksMax", "t", or_infinity(l->pids));
	return ret;
}

static int append_scope(struct scope_call *c, const char *unit, pid_t pid, const char *before,
			const struct limits *l)
{
	int ret = c->api->append(c->message, "ss", unit, "fail");

	if (ret >= 0)
		ret = c->api->open_container(c->message, 'a', "(sv)");
	if (ret >= 0)
		ret = c->api->append(c->message, "(sv)(sv)(sv)(sv)", "Description", "s",
				     "a torpor machine", "PIDs", "au", 1, (uint32_t)pid, "Delegate",
				     "b", 1, "CollectMode", "s", "inactive-or-failed");
	if (ret >= 0 && before != NULL)
		ret = c->api->append(c->message, "(sv)", "Before", "as", 1, before);
	if (ret >= 0)
		ret = append_limits(c, l);
	if (ret >= 0)
		ret = c->api->close_container(c->message);
	return ret < 0 ? ret : c->api->append(c->message, "a(sa(sv))", 0);
}

/* Signal JobRemoved: u id, o job, s unit, s result. */
static int on_job_removed(sd_bus_message *message, void *opaque, sd_bus_error *error)
{
	struct scope_call *c = opaque;
	const char *job, *result;

	(void)error;
	if (c->api->read(message, "uoss", NULL, &job, NULL, &result) < 0)
		return 0;
	if (strcmp(job, c->job) == 0)
		snprintf(c->result, sizeof(c->result), "%s", result);
	return 0;
}

/* To be told of jobs. systemd tells a private connection unasked, and may say that it cannot. */
static int subscribe(struct scope_call *c)
{
	sd_bus_error ignored = SD_BUS_ERROR_NULL;
	int ret = c->api->match_signal(c->bus, NULL, SYSTEMD, OBJECT, MANAGER, "JobRemoved",
				       on_job_removed, c);

	if (ret < 0)
		return ret;
	(void)c->api->call_method(c->bus, SYSTEMD, OBJECT, MANAGER, "Subscribe", &ignored, NULL,
				  "");
	c->api->error_free(&ignored);
	return 0;
}

static int await_job(struct scope_call *c, const char *unit, struct err *err)
{
	const uint64_t end = clock_monotonic_ns() / 1000 + PATIENCE_US;

	while (c->result[0] == '\0') {
		const uint64_t now = clock_monotonic_ns() / 1000;
		int ret = c->api->process(c->bus, NULL);

		if (ret == 0 && now >= end)
			return err_set(err, ERR_FAILED, "systemd has not started %s in time", unit);
		if (ret == 0)
			ret = c->api->wait(c->bus, end - now);
		if (ret < 0 && ret != -EINTR)
			return scope_failed(ret, unit, NULL, err);
	}
	if (strcmp(c->result, "done") != 0)
		return err_set(err, ERR_FAILED, "systemd could not start %s: %s", unit, c->result);
	return 0;
}

int scope_start(const char *unit, pid_t pid, const char *before, const struct limits *l,
		struct err *err)
{
	sd_bus_error why = SD_BUS_ERROR_NULL;
	cleanup_scope_call struct scope_call c;
	sd_bus_message *reply = NULL;
	const char *job = NULL;
	int ret = scope_open(&c, err);

	if (ret < 0)
		return ret;
	ret = subscribe(&c);
	if (ret >= 0)
		ret = begin_call(&c, "StartTransientUnit");
	if (ret >= 0)
		ret = append_scope(&c, unit, pid, before, l);
	if (ret >= 0)
		ret = c.api->call(c.bus, c.message, 0, &why, &reply);
	if (ret >= 0)
		ret = c.api->read(reply, "o", &job);
	if (ret < 0) {
		ret = scope_failed(ret, unit, &why, err);
	} else {
		/* Signals that have come before this reply wait for sd_bus_process(). */
		snprintf(c.job, sizeof(c.job), "%s", job);
		ret = await_job(&c, unit, err);
	}
	if (reply != NULL)
		c.api->message_unref(reply);
	c.api->error_free(&why);
	return ret;
}

int scope_set(const char *unit, const struct limits *l, struct err *err)
{
	sd_bus_error why = SD_BUS_ERROR_NULL;
	cleanup_scope_call struct scope_call c;
	int ret;

	if ((l->set & ~(unsigned)LIMIT_CPUS) == 0)
		return 0;
	ret = scope_open(&c, err);
	if (ret < 0)
		return ret;
	ret = begin_call(&c, "SetUnitProperties");
	if (ret >= 0)
		ret = c.api->append(c.message, "sb", unit, 1);
	if (ret >= 0)
		ret = c.api->open_container(c.message, 'a', "(sv)");
	if (ret >= 0)
		ret = append_limits(&c, l);
	if (ret >= 0)
		ret = c.api->close_container(c.message);
	if (ret >= 0)
		ret = c.api->call(c.bus, c.message, 0, &why, NULL);
	if (ret < 0)
		ret = scope_failed(ret, unit, &why, err);
	c.api->error_free(&why);
	return ret < 0 ? ret : 0;
}

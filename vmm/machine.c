/* A machine's life; see machine.h for threads and the lock. */
#include "vmm/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/num.h"
#include "vmm/machine_halted.h"
#include "vmm/machine_vcpus.h"
#include "vmm/sigbus.h"

/* So many resets of the guest, none of them longer than this after the one before, are a loop. */
#define RESET_LOOP	 5u
#define RESET_LOOP_GAP_S 60u

/* How long machine_pause() waits: who asks first has waited already (machine_settle()). */
#define REST_PATIENCE_MS 2000u
/* At the end of a machine: nothing is lost that the guest was told is done. */
#define END_PATIENCE_MS 300u
#define REST_LOOK_MS	100u

static void machine_set_state(struct machine *m, enum machine_state state)
{
	m->state = state;
	if (m->changed != NULL)
		m->changed(m, m->changed_opaque);
}

static int machine_check_params(const struct machine_params *params, struct err *err)
{
	if (params->memory < MACHINE_MIN_MEMORY || params->memory > MACHINE_MAX_MEMORY)
		return err_set(err, ERR_USAGE,
			       "memory: %llu bytes is not between 1 MiB and 256 GiB",
			       (unsigned long long)params->memory);
	if (params->memory % FRAME_SIZE != 0)
		return err_set(err, ERR_USAGE, "memory: %llu bytes is not a multiple of 64 KiB",
			       (unsigned long long)params->memory);
	if (params->nvcpus < 1 || params->nvcpus > MACHINE_MAX_VCPUS)
		return err_set(err, ERR_USAGE, "vCPUs: %u is not between 1 and %u", params->nvcpus,
			       MACHINE_MAX_VCPUS);
	return 0;
}

/* A thread touched a page that the kernel cannot give. The vCPUs are stopped before the page reads
 * as zeros. A device or a save may see the zeros; the machine neither runs nor is saved after that.
 */
static void on_memory_lost(void *opaque, const void *at)
{
	struct machine *m = opaque;
	struct err why;

	(void)at;
	if (machine_break_if_truncated(m))
		return;
	if (m->mem.nfiles == 1)
		err_set(&why, ERR_FAILED, "memory was lost: the host cannot read %s",
			m->mem.file[0].name);
	else
		err_set(&why, ERR_FAILED, "memory was lost: the host cannot read a page of it");
	machine_break(m, &why);
}

/* The slots come first. Chips register on KVM's buses, which since Linux 6.18 begins a grace period
 * that is not hastened; a slot set after that has to wait for its end, one or two ticks (4 to 10 ms
 * at 250 Hz). In a VM where nothing has happened yet a slot takes 0.1 ms. */
static int init_memory(struct machine *m, uint64_t size, struct err *err)
{
	int ret = mem_init(&m->mem, size, err);

	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		const struct mem_range *r = &m->mem.range[i];

		ret = kvm_set_memory(&m->kvm, i, r->gpa, r->size, r->host, 0, err);
		if (ret < 0)
			return ret;
		sigbus_watch(r->host, r->size, on_memory_lost, m);
	}
	return 0;
}

static int init_vcpus(struct machine *m, uint32_t nvcpus, struct err *err)
{
	m->vcpus = calloc(nvcpus, sizeof(m->vcpus[0]));
	if (m->vcpus == NULL)
		return err_sys(err, ENOMEM, "allocate %u vCPUs", nvcpus);
	while (m->nvcpus < nvcpus) {
		struct vcpu *vcpu = &m->vcpus[m->nvcpus];
		int ret;

		vcpu->machine = m;
		ret = kvm_vcpu_open(&m->kvm, m->nvcpus, &vcpu->kvm, err);
		if (ret < 0)
			return ret;
		m->nvcpus++;
		if (m->cpu == NULL)
			continue;
		ret = arch_vcpu_init(&m->kvm, &vcpu->kvm, m->cpu, nvcpus, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void machine_serve_request(struct loop_watch *watch, uint32_t events);

static void list_vcpus(struct machine *m, struct kvm_vcpu *vcpus[])
{
	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpus[i] = &m->vcpus[i].kvm;
}

static int machine_build(struct machine *m, const struct machine_params *params, struct err *err)
{
	struct kvm_vcpu *vcpus[MACHINE_MAX_VCPUS];
	int ret = init_memory(m, params->memory, err);

	if (ret < 0)
		return ret;
	ret = arch_vm_init(&m->kvm, err);
	if (ret < 0)
		return ret;
	ret = init_vcpus(m, params->nvcpus, err);
	if (ret < 0)
		return ret;
	list_vcpus(m, vcpus);
	ret = arch_vm_ready(&m->kvm, vcpus, m->nvcpus, err);
	if (ret < 0)
		return ret;
	ret = loop_init(&m->loop, &m->lock, err);
	if (ret < 0)
		return ret;
	m->request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->request_fd < 0)
		return err_sys(err, errno, "eventfd for requests");
	return loop_add(&m->loop, &m->request_watch, m->request_fd, EPOLLIN, machine_serve_request,
			err);
}

/* On a thread of its own: asking KVM what it supports takes 0.3 ms where CPUID traps. */
struct host_check {
	const struct kvm *kvm;
	const struct machine_params *params;
	int ret;
	struct err err;
};

static void *host_check_main(void *opaque)
{
	struct host_check *check = opaque;

	check->ret = arch_compat(check->kvm, check->params->cpu_needs, check->params->host_needs,
				 &check->err);
	return NULL;
}

static int machine_build_and_check(struct machine *m, const struct machine_params *params,
				   struct err *err)
{
	struct host_check check = {.kvm = &m->kvm, .params = params};
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, host_check_main, &check);

	if (ret != 0)
		return err_sys(err, ret, "start a thread");
	ret = machine_build(m, params, err);
	pthread_join(thread, NULL);
	return check.ret < 0 ? err_copy(err, check.ret, &check.err) : ret;
}

static int machine_open(struct machine *m, const struct machine_params *params, struct err *err)
{
	int ret = machine_check_params(params, err);

	if (ret < 0)
		return ret;
	ret = kvm_open(&m->kvm, err);
	if (ret < 0)
		return ret;
	if (params->cpu_needs == NULL)
		return machine_build(m, params, err);
	return machine_build_and_check(m, params, err);
}

int machine_init(struct machine *m, const struct machine_params *params, struct err *err)
{
	int ret;

	*m = (struct machine){
		.kvm = {.dev_fd = -1, .vm_fd = -1},
		.loop = {.epoll_fd = -1, .stop_fd = -1},
		.request_fd = -1,
		.halt_timer = TIMER_CLOSED,
		.log = params->log,
		.cpu = params->cpu,
		.boot = params->boot,
		.group = params->group,
	};
	/* Without a CPU it is resumed from a file, which has the CPU and the memory. */
	dirty_init(&m->dirty, &m->kvm, &m->mem, params->cpu == NULL);
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->break_lock, NULL);
	pthread_cond_init(&m->vcpu_cond, NULL);
	pthread_cond_init(&m->rest_cond, NULL);
	ret = machine_open(m, params, err);
	if (ret < 0)
		machine_free(m);
	return ret;
}

void machine_free(struct machine *m)
{
	while (m->ndevices > 0) {
		struct device *dev = m->devices[--m->ndevices];

		dev->ops->destroy(dev);
	}
	for (uint32_t i = 0; i < m->nvcpus; i++)
		kvm_vcpu_close(&m->vcpus[i].kvm);
	free(m->vcpus);
	m->vcpus = NULL;
	m->nvcpus = 0;
	if (m->halt_timer.loop != NULL)
		timer_close(&m->halt_timer);
	loop_free(&m->loop);
	if (m->request_fd >= 0)
		close(m->request_fd);
	m->request_fd = -1;
	kvm_close(&m->kvm);
	for (unsigned i = 0; i < m->mem.nranges; i++)
		sigbus_unwatch(m->mem.range[i].host);
	dirty_free(&m->dirty);
	mem_free(&m->mem);
	arch_cpu_free(m->cpu);
	m->cpu = NULL;
}

void machine_add_device(struct machine *m, struct device *dev)
{
	assert(m->ndevices < MACHINE_MAX_DEVICES && machine_device(m, dev->id) == NULL);
	m->devices[m->ndevices++] = dev;
}

struct device *machine_device(const struct machine *m, const char *id)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		if (strcmp(m->devices[i]->id, id) == 0)
			return m->devices[i];
	}
	return NULL;
}

int machine_boot(struct machine *m, struct err *err)
{
	struct boot_entry entry;
	int ret = m->boot.check != NULL ? m->boot.check(m->boot.check_opaque, err) : 0;

	if (ret < 0)
		return ret;
	ret = arch_boot_load(&m->mem, &m->boot, &m->board, &entry, err);

	return ret < 0 ? ret : arch_boot_vcpu(&m->vcpus[0].kvm, &entry, err);
}

bool machine_at_rest(const struct machine *m, char *what, size_t size)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		const struct device *dev = m->devices[i];

		if (dev->ops->at_rest != NULL && !dev->ops->at_rest(dev, what, size))
			return false;
	}
	return true;
}

static void hold_devices(struct machine *m, bool on)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		if (m->devices[i]->ops->hold != NULL)
			m->devices[i]->ops->hold(m->devices[i], on);
	}
}

static bool settle_devices(struct machine *m)
{
	char what[64];

	hold_devices(m, true);
	return machine_at_rest(m, what, sizeof(what));
}

static void wait_a_moment(struct machine *m)
{
	const uint64_t end = clock_monotonic_ns() + REST_LOOK_MS * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(end / NS_PER_SECOND),
		.tv_nsec = (long)(end % NS_PER_SECOND),
	};

	(void)pthread_cond_clockwait(&m->rest_cond, &m->lock, CLOCK_MONOTONIC, &until);
}

static bool settle_patiently(struct machine *m, unsigned milliseconds)
{
	const uint64_t end = clock_monotonic_ns() + milliseconds * NS_PER_MS;

	while (!settle_devices(m)) {
		if (clock_monotonic_ns() >= end)
			return false;
		wait_a_moment(m);
	}
	return true;
}

bool machine_settle(struct machine *m)
{
	m->settling = m->state == MACHINE_RUNNING && !settle_devices(m);
	return !m->settling;
}

void machine_unsettle(struct machine *m)
{
	m->settling = false;
	if (m->state == MACHINE_RUNNING)
		hold_devices(m, false);
}

void machine_rested(struct machine *m)
{
	pthread_cond_broadcast(&m->rest_cond);
	if (m->settling || m->reset_requested)
		(void)eventfd_write(m->request_fd, 1);
}

bool machine_await_rest(struct machine *m)
{
	if (m->end != MACHINE_END_NONE || machine_is_broken(m))
		return false;
	wait_a_moment(m);
	return true;
}

/* From parked and quiet to running. */
static void machine_go(struct machine *m)
{
	for (unsigned i = 0; i < m->ndevices; i++) {
		if (m->devices[i]->ops->start != NULL)
			m->devices[i]->ops->start(m->devices[i]);
	}
	vcpus_unpark(m);
	machine_set_state(m, MACHINE_RUNNING);
	halted_watch(m);
}

/* Stop the vCPUs first: an exit must not set a quiesced device going again. */
static void machine_halt(struct machine *m)
{
	vcpus_park(m);
	for (unsigned i = 0; i < m->ndevices; i++) {
		if (m->devices[i]->ops->quiesce != NULL)
			m->devices[i]->ops->quiesce(m->devices[i]);
	}
}

/* Remember the guest's clock, to go on from there. */
static void stop_clock(struct machine *m)
{
	for (uint32_t i = 0; i < m->nvcpus; i++)
		arch_vcpu_clock_stopped(&m->vcpus[i].kvm);
	m->clock_stopped = arch_clock_get(&m->kvm, &m->clock, NULL) == 0;
}

/* A halted machine that will never run again. */
static void stay_broken(struct machine *m)
{
	log_line(&m->log, "broken: %s", m->failure.text);
	machine_set_state(m, MACHINE_BROKEN);
}

/* One line for each reset, until it is a loop: then it is called that, and only every power of two
 * is told, so that a guest cannot fill the log. */
static void log_reset(struct machine *m)
{
	const uint64_t now = clock_monotonic_ns();
	unsigned count;

	if (m->resets.count == 0 || now - m->resets.last_ns > RESET_LOOP_GAP_S * NS_PER_SECOND) {
		m->resets.count = 0;
		m->resets.first_ns = now;
	}
	m->resets.last_ns = now;
	count = ++m->resets.count;
	if (count < RESET_LOOP)
		log_line(&m->log, "%s, a reset", m->reset_cause);
	else if (count == RESET_LOOP || (count & (count - 1)) == 0)
		log_line(&m->log,
			 "%s, a reset: the guest resets itself in a loop, %u times in %llu s",
			 m->reset_cause, count,
			 (unsigned long long)((now - m->resets.first_ns) / NS_PER_SECOND));
}

/* A halted machine as after power-on, with its kernel loaded again. */
static void reset_halted(struct machine *m)
{
	struct kvm_vcpu *vcpus[MACHINE_MAX_VCPUS];
	struct err err;

	m->reset_requested = false;
	m->halted = false;
	log_reset(m);
	list_vcpus(m, vcpus);
	for (unsigned i = 0; i < m->ndevices; i++)
		m->devices[i]->ops->reset(m->devices[i]);
	if (arch_reset(&m->kvm, vcpus, m->nvcpus, &err) < 0 || machine_boot(m, &err) < 0) {
		err_context(&err, 0, "reset");
		machine_fail(m, &err);
	}
}

/* What a vCPU asked for while it was being parked is part of the paused (and saved) state: a reset
 * is done now. A machine that has just ended is left to the loop. */
void machine_pause(struct machine *m)
{
	if (m->state != MACHINE_RUNNING)
		return;
	m->settling = false;
	if (!settle_patiently(m, REST_PATIENCE_MS) && !machine_is_broken(m)) {
		machine_unsettle(m);
		return;
	}
	machine_halt(m);
	if (machine_is_broken(m)) {
		stay_broken(m);
		return;
	}
	if (m->end == MACHINE_END_NONE && m->reset_requested)
		reset_halted(m);
	if (m->end != MACHINE_END_NONE)
		return;
	stop_clock(m);
	machine_set_state(m, MACHINE_PAUSED);
}

int machine_not_paused(const struct machine *m, struct err *err)
{
	char what[64];

	if (machine_is_broken(m) || m->end != MACHINE_END_NONE)
		return err_set(err, ERR_FAILED, "machine %s has just %s", m->log.prefix,
			       machine_is_broken(m) ? "broken" : "ended");
	if (machine_at_rest(m, what, sizeof(what)))
		snprintf(what, sizeof(what), "a device");
	return err_set(
		err, ERR_FAILED,
		"machine %s cannot be paused: %s has not been answered by the host; it runs on",
		m->log.prefix, what);
}

void machine_unpause(struct machine *m)
{
	if (m->state != MACHINE_PAUSED || machine_is_broken(m))
		return;
	if (m->clock_stopped)
		arch_clock_set(&m->kvm, m->clock, NULL);
	m->clock_stopped = false;
	machine_go(m);
}

void machine_replaced(struct machine *m)
{
	m->reset_requested = false;
	m->halted = false;
	m->resets.count = 0;
	stop_clock(m);
}

int machine_run(struct machine *m, bool paused, struct err *err)
{
	int ret;

	pthread_mutex_lock(&m->lock);
	ret = vcpus_start(m, err);
	if (ret == 0 && (paused || machine_is_broken(m))) {
		stop_clock(m);
		machine_set_state(m, MACHINE_PAUSED);
	} else if (ret == 0) {
		machine_go(m);
	}
	pthread_mutex_unlock(&m->lock);
	if (ret < 0)
		return ret;
	ret = loop_run(&m->loop, err);
	vcpus_join(m);
	return ret;
}

/* Have the loop call machine_serve_request(). Until then no vCPU that exits enters the guest
 * again. */
static void machine_notify_loop(struct machine *m)
{
	m->want_parked = true;
	(void)eventfd_write(m->request_fd, 1);
}

void machine_end(struct machine *m, enum machine_end why)
{
	/* A save that is complete read the memory before it was lost. */
	if (machine_is_broken(m) && why != MACHINE_END_SAVED && why != MACHINE_END_MOVED)
		why = MACHINE_END_FAILED;
	if (m->end == MACHINE_END_NONE)
		m->end = why;
	pthread_cond_broadcast(&m->rest_cond);
	machine_notify_loop(m);
}

void machine_fail(struct machine *m, const struct err *why)
{
	pthread_mutex_lock(&m->break_lock);
	if (m->end == MACHINE_END_NONE && !machine_is_broken(m)) {
		m->failure = *why;
		log_line(&m->log, "%s", why->text);
	}
	pthread_mutex_unlock(&m->break_lock);
	machine_end(m, MACHINE_END_FAILED);
}

void machine_break(struct machine *m, const struct err *why)
{
	pthread_mutex_lock(&m->break_lock);
	if (!machine_is_broken(m)) {
		m->failure = *why;
		atomic_store(&m->broken, true);
		vcpus_stop_now(m);
		(void)eventfd_write(m->request_fd, 1);
	}
	pthread_mutex_unlock(&m->break_lock);
}

bool machine_break_if_truncated(struct machine *m)
{
	const char *name = mem_truncated_file(&m->mem);
	struct err why;

	if (name == NULL)
		return false;
	err_set(&why, ERR_INTEGRITY, "%s was truncated while its memory was in use", name);
	machine_break(m, &why);
	return true;
}

/* There are no vCPUs here that could be stopped. */
static void on_copy_lost(void *opaque, const void *at)
{
	struct machine *m = opaque;

	(void)at;
	atomic_store(&m->broken, true);
}

void machine_copied(struct machine *m)
{
	for (uint32_t i = 0; i < m->nvcpus; i++)
		kvm_vcpu_unmap(&m->vcpus[i].kvm);
	for (unsigned i = 0; i < m->mem.nranges; i++) {
		const struct mem_range *r = &m->mem.range[i];

		sigbus_unwatch(r->host);
		sigbus_watch(r->host, r->size, on_copy_lost, m);
	}
}

bool machine_is_broken(const struct machine *m)
{
	return atomic_load(&m->broken);
}

void machine_request_reset(struct machine *m, const char *cause)
{
	if (!m->reset_requested)
		snprintf(m->reset_cause, sizeof(m->reset_cause), "%s", cause);
	m->reset_requested = true;
	machine_notify_loop(m);
}

static void tell_reset_waits(struct machine *m)
{
	char what[64];

	if (!m->told_reset_waits && !machine_at_rest(m, what, sizeof(what)))
		log_line(&m->log, "%s, a reset: it waits until the host has answered %s",
			 m->reset_cause, what);
	m->told_reset_waits = true;
}

static void tell_given_up(struct machine *m)
{
	char what[64];

	if (!machine_at_rest(m, what, sizeof(what)))
		log_line(&m->log, "it ends while the host has not answered %s", what);
}

static void machine_serve_request(struct loop_watch *watch, uint32_t events)
{
	struct machine *m = container_of(watch, struct machine, request_watch);
	eventfd_t ignored;

	(void)events;
	(void)eventfd_read(m->request_fd, &ignored);
	if (m->end == MACHINE_END_NONE && machine_is_broken(m)) {
		if (m->state == MACHINE_BROKEN)
			return;
		(void)settle_patiently(m, END_PATIENCE_MS);
		machine_halt(m);
		stay_broken(m);
	} else if (m->end == MACHINE_END_NONE && m->reset_requested) {
		/* It is called again when they have settled. */
		if (m->state == MACHINE_RUNNING && !settle_devices(m)) {
			tell_reset_waits(m);
			return;
		}
		m->told_reset_waits = false;
		machine_halt(m);
		reset_halted(m);
		if (m->end == MACHINE_END_NONE && m->state == MACHINE_RUNNING)
			machine_go(m);
	}
	if (m->end == MACHINE_END_NONE && m->settling && settle_devices(m)) {
		m->settling = false;
		m->settled(m, m->changed_opaque);
	}
	if (m->end == MACHINE_END_NONE || m->state == MACHINE_ENDED)
		return;
	if (m->ending != NULL)
		m->ending(m, m->changed_opaque);
	if (!settle_patiently(m, END_PATIENCE_MS))
		tell_given_up(m);
	machine_halt(m);
	machine_set_state(m, MACHINE_ENDED);
	loop_stop(&m->loop);
}

const char *machine_state_name(const struct machine *m)
{
	static const char *const names[] = {
		[MACHINE_BUILT] = "built",   [MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused", [MACHINE_BROKEN] = "broken",
		[MACHINE_ENDED] = "ended",
	};

	return m->halted && m->state == MACHINE_RUNNING ? "halted" : names[m->state];
}

const char *machine_end_name(enum machine_end end)
{
	static const char *const names[] = {
		[MACHINE_END_NONE] = "none",	 [MACHINE_END_POWEROFF] = "poweroff",
		[MACHINE_END_KILLED] = "killed", [MACHINE_END_SAVED] = "saved",
		[MACHINE_END_MOVED] = "moved",	 [MACHINE_END_FAILED] = "failed",
	};

	return names[end];
}

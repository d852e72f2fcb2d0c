/*
 * vCPU threads; see machine_vcpus.h.
 *
 * The life of a vCPU thread, all decisions with the machine lock held:
 *
 *     park while want_parked ──► KVM_RUN without the lock ──► serve the exit ──┐
 *          ▲                                                                   │
 *          └───────────────────────────────────────────────────────────────────┘
 *
 * A thread that must park first runs with immediate_exit set until KVM_RUN says EINTR: the kernel
 * finishes the port or MMIO access in hand on the way in, and an access in several fragments may
 * exit again in between.
 *
 * A broken machine's vCPUs park without that: see vcpus_stop_now. Its mark is set without the
 * machine lock. Clearing immediate_exit and then looking at the mark are both sequentially
 * consistent, and so are setting the mark and then immediate_exit: one of the two sides sees the
 * other.
 */
#include "vmm/machine_vcpus.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#define KICK_SIGNAL SIGRTMIN

static void kick_handler(int signal)
{
	(void)signal; /* its delivery is what ends KVM_RUN */
}

static void install_kick_handler(void)
{
	struct sigaction action = {.sa_handler = kick_handler};

	sigaction(KICK_SIGNAL, &action, NULL);
}

static void vcpu_kick(struct vcpu *vcpu)
{
	vcpu_set_immediate_exit(vcpu, 1);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

static void request_reset(struct vcpu *vcpu, const char *what, const char *where)
{
	char cause[192];

	snprintf(cause, sizeof(cause), "vCPU %u: %s%s", vcpu->kvm.id, what, where);
	machine_request_reset(vcpu->machine, cause);
}

/* Enter the guest once and act on the outcome. In a broken machine the exit is not served: it may
 * come from memory that was never there. Returns false when nothing is pending in the kernel any
 * more, or need not be. */
static bool vcpu_step(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;
	char where[160];
	struct err err;
	int ret;

	if (machine_is_broken(m))
		return false;
	pthread_mutex_unlock(&m->lock);
	ret = kvm_vcpu_run(&vcpu->kvm);
	pthread_mutex_lock(&m->lock);
	if (machine_is_broken(m))
		return false;
	switch (vcpu_serve(vcpu, ret, &m->pio, &m->mmio, &err)) {
	case VCPU_SERVED:
		return true;
	case VCPU_INTERRUPTED:
		return false;
	case VCPU_TRIPLE_FAULT:
		if (machine_break_if_truncated(m))
			return false;
		arch_vcpu_describe(&vcpu->kvm, where, sizeof(where));
		request_reset(vcpu, "triple fault", where);
		return true;
	case VCPU_RESET:
		request_reset(vcpu, "reset event of KVM", "");
		return true;
	case VCPU_POWEROFF:
		machine_end(m, MACHINE_END_POWEROFF);
		return true;
	case VCPU_FAILED:
		/* A page that cannot be read makes KVM_RUN return -EFAULT. */
		if (machine_break_if_truncated(m))
			return false;
		machine_fail(m, &err);
		/* An exit was taken over, a failed KVM_RUN was not. */
		return ret == 0;
	}
	return false;
}

static bool must_park(const struct machine *m)
{
	return m->want_parked || machine_is_broken(m);
}

static void vcpu_park(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;

	vcpu_set_immediate_exit(vcpu, 1);
	if (vcpu->state == VCPU_RUNNING) {
		while (vcpu_step(vcpu))
			;
	}
	vcpu->state = VCPU_PARKED;
	pthread_cond_broadcast(&m->vcpu_cond);
	while (must_park(m) && !m->want_exit)
		pthread_cond_wait(&m->vcpu_cond, &m->lock);
	vcpu_set_immediate_exit(vcpu, 0);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct machine *m = vcpu->machine;
	char name[16];

	/* torpor update finds a machine's vCPUs by that. */
	snprintf(name, sizeof(name), "vcpu%u", vcpu->kvm.id);
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&m->lock);
	while (!m->want_exit) {
		if (must_park(m)) {
			vcpu_park(vcpu);
		} else {
			vcpu->state = VCPU_RUNNING;
			/* vcpus_park_within() may have kicked it and given up. */
			if (!vcpu_step(vcpu) && !must_park(m))
				vcpu_set_immediate_exit(vcpu, 0);
		}
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static void set_has_thread(struct vcpu *vcpu, bool has_thread)
{
	pthread_mutex_lock(&vcpu->machine->break_lock);
	vcpu->has_thread = has_thread;
	pthread_mutex_unlock(&vcpu->machine->break_lock);
}

/* Threads inherit the mask: signals meant for the program belong to the loop thread. */
static int start_thread(struct vcpu *vcpu)
{
	sigset_t blocked, old;
	int ret;

	sigfillset(&blocked);
	sigdelset(&blocked, KICK_SIGNAL);
	sigdelset(&blocked, SIGBUS); /* of lost memory (vmm/sigbus.h): blocked, it kills */
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	ret = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret == 0)
		set_has_thread(vcpu, true);
	return ret;
}

static int enter_group(int fd, struct err *err)
{
	return write(fd, "0", 1) == 1 ? 0 : err_sys(err, errno, "enter a control group");
}

static int start_threads(struct machine *m, struct err *err)
{
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		int ret = start_thread(&m->vcpus[i]);

		if (ret != 0)
			return err_sys(err, ret, "start the thread of vCPU %u", i);
		m->vcpus[i].state = VCPU_PARKED;
	}
	return 0;
}

/* A thread begins in the group of the one that makes it: so no vCPU runs outside of its group. */
static int start_in_group(struct machine *m, struct err *err)
{
	int ret = enter_group(m->group->vcpus_fd, err), left;

	if (ret < 0)
		return ret;
	ret = start_threads(m, err);
	left = enter_group(m->group->rest_fd, ret < 0 ? NULL : err);
	return ret < 0 ? ret : left;
}

int vcpus_start(struct machine *m, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int ret;

	pthread_once(&once, install_kick_handler);
	m->want_parked = true;
	m->want_exit = false;
	ret = m->group != NULL ? start_in_group(m, err) : start_threads(m, err);
	if (ret < 0) {
		pthread_mutex_unlock(&m->lock);
		vcpus_join(m);
		pthread_mutex_lock(&m->lock);
	}
	return ret;
}

void vcpus_join(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->want_exit = true;
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].state == VCPU_RUNNING)
			vcpu_kick(&m->vcpus[i]);
	}
	pthread_cond_broadcast(&m->vcpu_cond);
	pthread_mutex_unlock(&m->lock);
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].state == VCPU_CREATED)
			continue;
		set_has_thread(&m->vcpus[i], false);
		pthread_join(m->vcpus[i].thread, NULL);
		m->vcpus[i].state = VCPU_CREATED;
	}
}

static bool all_parked(const struct machine *m)
{
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].state == VCPU_RUNNING)
			return false;
	}
	return true;
}

static void kick_running(struct machine *m)
{
	m->want_parked = true;
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].state == VCPU_RUNNING)
			vcpu_kick(&m->vcpus[i]);
	}
}

void vcpus_park(struct machine *m)
{
	kick_running(m);
	while (!all_parked(m))
		pthread_cond_wait(&m->vcpu_cond, &m->lock);
}

bool vcpus_park_within(struct machine *m, unsigned milliseconds)
{
	const uint64_t end = clock_monotonic_ns() + milliseconds * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(end / NS_PER_SECOND),
		.tv_nsec = (long)(end % NS_PER_SECOND),
	};

	kick_running(m);
	while (!all_parked(m)) {
		if (pthread_cond_clockwait(&m->vcpu_cond, &m->lock, CLOCK_MONOTONIC, &until) != 0)
			break;
	}
	return all_parked(m);
}

uint64_t vcpus_cpu_ns(const struct machine *m)
{
	uint64_t sum = 0;
	clockid_t clock;

	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].state != VCPU_CREATED &&
		    pthread_getcpuclockid(m->vcpus[i].thread, &clock) == 0)
			sum += clock_ns(clock);
	}
	return sum;
}

void vcpus_unpark(struct machine *m)
{
	m->want_parked = false;
	pthread_cond_broadcast(&m->vcpu_cond);
}

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

void vcpus_stop_now(struct machine *m)
{
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].has_thread)
			vcpu_kick(&m->vcpus[i]);
	}
	/* The command has to be registered for; nothing before this needs it. */
	(void)membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	(void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

/*
 * vCPU threads; see vcpu.h.
 *
 * The life of a vCPU thread, all decisions with the machine lock held:
 *
 *     park while want_parked ──► KVM_RUN without the lock ──► handle the exit ──┐
 *          ▲                                                                    │
 *          └────────────────────────────────────────────────────────────────────┘
 *
 * A thread that must park first runs with immediate_exit set until KVM_RUN says EINTR: the kernel
 * finishes the port or MMIO access in hand on the way in, and an access in several fragments may
 * exit again in between.
 *
 * A broken machine's vCPUs park without that: see vcpus_stop_now. Its mark is set without the
 * machine lock, so clearing immediate_exit and looking at the mark are ordered (both sequentially
 * consistent, as are setting the mark and then immediate_exit): one of the two sides sees the
 * other.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/machine.h"

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

static void set_immediate_exit(struct vcpu *vcpu, uint8_t value)
{
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

static void vcpu_kick(struct vcpu *vcpu)
{
	set_immediate_exit(vcpu, 1);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

static void exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(&vcpu->machine->pio, run->io.port, data, run->io.size);
		else
			bus_read(&vcpu->machine->pio, run->io.port, data, run->io.size);
	}
}

static void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;

	if (run->mmio.is_write)
		bus_write(&vcpu->machine->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(&vcpu->machine->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

/* A triple fault: how a PC resets when nothing else works. */
static void exit_shutdown(struct vcpu *vcpu)
{
	char where[160];

	arch_vcpu_describe(&vcpu->kvm, where, sizeof(where));
	log_guest(&vcpu->machine->log, &vcpu->said, "vCPU %u: triple fault%s, a reset",
		  vcpu->kvm.id, where);
	machine_request_reset(vcpu->machine);
}

static void exit_system_event(struct vcpu *vcpu)
{
	if (vcpu->kvm.run->system_event.type == KVM_SYSTEM_EVENT_RESET)
		machine_request_reset(vcpu->machine);
	else
		machine_end(vcpu->machine, MACHINE_END_POWEROFF);
}

static void exit_failed(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->kvm.run;
	struct err err;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		err_set(&err, ERR_FAILED,
			"vCPU %u: the processor refused the guest's state (0x%llx)", vcpu->kvm.id,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		err_set(&err, ERR_FAILED, "vCPU %u: KVM internal error %u%s", vcpu->kvm.id,
			run->internal.suberror,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (an instruction it cannot emulate)"
				: "");
	else
		err_set(&err, ERR_FAILED, "vCPU %u: unexpected KVM exit %u", vcpu->kvm.id,
			run->exit_reason);
	machine_fail(vcpu->machine, &err);
}

static void vcpu_handle_exit(struct vcpu *vcpu)
{
	switch (vcpu->kvm.run->exit_reason) {
	case KVM_EXIT_IO:
		exit_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		exit_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		exit_shutdown(vcpu);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		exit_system_event(vcpu);
		break;
	default:
		exit_failed(vcpu);
	}
}

/* Enter the guest once and deal with what came of it: nothing, in a broken machine, for it may come
 * from memory that was never there. Returns false when nothing is pending in the kernel any more
 * (EINTR), or need not be. */
static bool vcpu_step(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;
	struct err err;
	int ret;

	if (machine_is_broken(m))
		return false;
	pthread_mutex_unlock(&m->lock);
	ret = kvm_vcpu_run(&vcpu->kvm);
	pthread_mutex_lock(&m->lock);
	if (machine_is_broken(m))
		return false;
	if (ret == 0) {
		vcpu_handle_exit(vcpu);
		return true;
	}
	if (ret != -EINTR && ret != -EAGAIN) {
		err_sys(&err, -ret, "vCPU %u: KVM_RUN", vcpu->kvm.id);
		machine_fail(m, &err);
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

	set_immediate_exit(vcpu, 1);
	if (vcpu->state == VCPU_RUNNING) {
		while (vcpu_step(vcpu))
			;
	}
	vcpu->state = VCPU_PARKED;
	pthread_cond_broadcast(&m->vcpu_cond);
	while (must_park(m) && !m->want_exit)
		pthread_cond_wait(&m->vcpu_cond, &m->lock);
	set_immediate_exit(vcpu, 0);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct machine *m = vcpu->machine;

	pthread_mutex_lock(&m->lock);
	while (!m->want_exit) {
		if (must_park(m)) {
			vcpu_park(vcpu);
		} else {
			vcpu->state = VCPU_RUNNING;
			vcpu_step(vcpu);
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
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	ret = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret == 0)
		set_has_thread(vcpu, true);
	return ret;
}

int vcpus_start(struct machine *m, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install_kick_handler);
	m->want_parked = true;
	m->want_exit = false;
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		int ret = start_thread(&m->vcpus[i]);

		if (ret != 0) {
			pthread_mutex_unlock(&m->lock);
			vcpus_join(m);
			pthread_mutex_lock(&m->lock);
			return err_sys(err, ret, "start the thread of vCPU %u", i);
		}
		m->vcpus[i].state = VCPU_PARKED;
	}
	return 0;
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

void vcpus_park(struct machine *m)
{
	m->want_parked = true;
	for (uint32_t i = 0; i < m->nvcpus; i++) {
		if (m->vcpus[i].state == VCPU_RUNNING)
			vcpu_kick(&m->vcpus[i]);
	}
	while (!all_parked(m))
		pthread_cond_wait(&m->vcpu_cond, &m->lock);
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
	/* The command has to be registered for; before this nobody needed it. */
	(void)membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	(void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

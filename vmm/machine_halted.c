/* See machine_halted.h. Loop thread, machine lock held. */
#include "vmm/machine_halted.h"

#include "vmm/machine_vcpus.h"

#define LOOK_MS 3000u
/* vCPUs in HLT stop at once. One that does not stop waits for memory, and has not halted. */
#define PARK_MS 100u

/* Stop all vCPUs at one moment, so that none can wake one whose state was read before. Devices need
 * not be quiesced: they cannot end a HLT with interrupts off. */
static bool has_halted(struct machine *m)
{
	struct kvm_vcpu *vcpus[MACHINE_MAX_VCPUS];
	bool halted;

	for (uint32_t i = 0; i < m->nvcpus; i++)
		vcpus[i] = &m->vcpus[i].kvm;
	halted = vcpus_park_within(m, PARK_MS) && arch_halted_for_good(&m->kvm, vcpus, m->nvcpus);
	/* On its way a vCPU may have asked for the end or a reset: the loop's next round does
	 * it. */
	if (m->end == MACHINE_END_NONE && !m->reset_requested)
		vcpus_unpark(m);
	return halted;
}

static void look(void *opaque)
{
	struct machine *m = opaque;
	uint64_t used;

	if (m->state != MACHINE_RUNNING || m->end != MACHINE_END_NONE || m->reset_requested)
		return;
	used = vcpus_cpu_ns(m);
	if (used == m->vcpu_ns && has_halted(m)) {
		m->halted = true;
		log_line(&m->log, "the guest has halted for good: nothing can wake a vCPU");
		if (m->changed != NULL)
			m->changed(m, m->changed_opaque);
		return;
	}
	m->vcpu_ns = used;
	timer_set(&m->halt_timer, LOOK_MS);
}

void halted_watch(struct machine *m)
{
	if (m->halted)
		return;
	if (m->halt_timer.fd < 0 && timer_open(&m->halt_timer, &m->loop, look, m, NULL) < 0)
		return;
	m->vcpu_ns = UINT64_MAX; /* the first look only notes the time */
	timer_set(&m->halt_timer, LOOK_MS);
}

/* See sandbox_filter.h. Offsets are those of struct seccomp_data; arguments are looked at in their
 * lower half, which is all the kernel takes of those concerned. */
#include "host/sandbox_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/arch.h"
#include "base/assert.h"
#include "base/num.h"

#define ALL	   0xffffffffu
#define IOCTL_TYPE 0xff00u
#define TERMIOS	   0xfffffff8u /* TCGETS to TCSETSF, and TCGETA to TCSETAW of struct termio */
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)
#define FORK	(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD) /* glibc's fork(3) */
#define CREATES (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* One that holds is enough: (argument & mask) == value. One whose argument has AND_NEXT holds only
 * together with the one behind it. */
#define AND_NEXT 0x80u

static const struct condition {
	uint8_t verdict;
	uint8_t argument;
	uint32_t mask;
	uint32_t value;
} conditions[] = {
	{VERDICT_READ_ONLY, 2, O_ACCMODE | CREATES, O_RDONLY},
	{VERDICT_EXISTING, 2, CREATES, 0},
	{VERDICT_NO_CODE, 2, PROT_EXEC, 0},
	{VERDICT_CODE_OR_DATA, 2, PROT_EXEC, 0},
	{VERDICT_CODE_OR_DATA, 2, PROT_WRITE, 0},
	{VERDICT_THREAD, 0, CLONE_VM | CLONE_THREAD | NAMESPACES, CLONE_VM | CLONE_THREAD},
	{VERDICT_COPY, 0, CLONE_VM | CLONE_THREAD | NAMESPACES, CLONE_VM | CLONE_THREAD},
	{VERDICT_COPY, 0, ALL, FORK},
	{VERDICT_PROCESS, 0, NAMESPACES, 0},
	{VERDICT_LOCAL, 0, ALL, AF_UNIX},
	{VERDICT_NETWORK, 0, ALL, AF_UNIX},
	{VERDICT_NETWORK, 0, ALL, AF_INET},
	{VERDICT_NETWORK, 0, ALL, AF_INET6},
	{VERDICT_TERMINAL, 1, TERMIOS, TCGETS &TERMIOS},
	{VERDICT_TERMINAL, 1, ALL, TIOCGWINSZ},
	{VERDICT_KVM, 1, IOCTL_TYPE, KVMIO << 8},
	{VERDICT_KVM, 1, ALL, TCGETS},
	{VERDICT_MACHINE_IOCTL, 1, IOCTL_TYPE, KVMIO << 8},
	{VERDICT_MACHINE_IOCTL, 1, IOCTL_TYPE, UFFDIO << 8},
	{VERDICT_MACHINE_IOCTL, 1, TERMIOS, TCGETS &TERMIOS},
	{VERDICT_MACHINE_IOCTL, 1, ALL, TIOCGWINSZ},
	{VERDICT_MACHINE_IOCTL, 1, ALL, TIOCGPGRP},
	{VERDICT_MACHINE_IOCTL, 1, ALL, FIONREAD},
	{VERDICT_TAP_IOCTL, 1, IOCTL_TYPE, KVMIO << 8},
	{VERDICT_TAP_IOCTL, 1, IOCTL_TYPE, UFFDIO << 8},
	{VERDICT_TAP_IOCTL, 1, TERMIOS, TCGETS &TERMIOS},
	{VERDICT_TAP_IOCTL, 1, ALL, TIOCGWINSZ},
	{VERDICT_TAP_IOCTL, 1, ALL, TIOCGPGRP},
	{VERDICT_TAP_IOCTL, 1, ALL, FIONREAD},
	{VERDICT_TAP_IOCTL, 1, ALL, TUNSETIFF},
	{VERDICT_TAP_IOCTL, 1, ALL, TUNSETOFFLOAD},
	{VERDICT_TAP_IOCTL, 1, ALL, TUNSETVNETHDRSZ},
	{VERDICT_OFFLOAD_IOCTL, 1, IOCTL_TYPE, KVMIO << 8},
	{VERDICT_OFFLOAD_IOCTL, 1, IOCTL_TYPE, UFFDIO << 8},
	{VERDICT_OFFLOAD_IOCTL, 1, TERMIOS, TCGETS &TERMIOS},
	{VERDICT_OFFLOAD_IOCTL, 1, ALL, TIOCGWINSZ},
	{VERDICT_OFFLOAD_IOCTL, 1, ALL, TIOCGPGRP},
	{VERDICT_OFFLOAD_IOCTL, 1, ALL, FIONREAD},
	{VERDICT_OFFLOAD_IOCTL, 1, ALL, TUNSETOFFLOAD},
	{VERDICT_NAME, 0, ALL, PR_SET_NAME},
	{VERDICT_NAME, 0, ALL, PR_GET_DUMPABLE},
	{VERDICT_NAME, 0, ALL, PR_SET_PDEATHSIG},
	{VERDICT_NAME, 0 | AND_NEXT, ALL, PR_SET_DUMPABLE},
	{VERDICT_NAME, 1, ALL, 0},
	{VERDICT_INTERNET, 0, ALL, AF_INET},
	{VERDICT_INTERNET, 0, ALL, AF_INET6},
	{VERDICT_THIS_PROCESS, 0, ALL, 0},
	{VERDICT_THIS_PRIORITY, 0 | AND_NEXT, ALL, PRIO_PROCESS},
	{VERDICT_THIS_PRIORITY, 1, ALL, 0},
};

/* Neighbours with one verdict, from `first` on. */
struct span {
	unsigned first;
	uint8_t verdict;
};

/* Where a jump goes: an instruction, or, below zero, a verdict. */
struct branch {
	unsigned at;
	int yes, no;
	unsigned group;
};

/* A conditional jump reaches 255 instructions. A search of up to GROUP_MAX spans is therefore
 * followed by trampolines: one unconditional jump for each of its verdicts, which reaches any
 * instruction. */
#define GROUP_MAX  64u
#define GROUPS_MAX 16u

struct group {
	unsigned trampoline[VERDICTS]; /* 0: that verdict is not in it */
};

struct builder {
	struct sandbox_filter *filter;
	struct span span[SANDBOX_CODE_MAX];
	unsigned nspans;
	struct branch branch[SANDBOX_CODE_MAX];
	unsigned nbranches;
	struct group group[GROUPS_MAX];
	unsigned ngroups;
};

static unsigned emit(struct sandbox_filter *f, unsigned code, uint32_t k, unsigned yes, unsigned no)
{
	assert(f->len < SANDBOX_CODE_MAX && yes < 256 && no < 256);
	f->code[f->len] = (struct sock_filter){(uint16_t)code, (uint8_t)yes, (uint8_t)no, k};
	return f->len++;
}

static void give(struct sandbox_filter *f, uint32_t action)
{
	emit(f, BPF_RET | BPF_K, action, 0, 0);
}

static void find_spans(struct builder *b, const uint8_t *verdicts)
{
	for (unsigned call = 0; call <= SANDBOX_CALLS; call++) {
		uint8_t verdict = call < SANDBOX_CALLS ? verdicts[call] : VERDICT_MISSING;

		if (b->nspans > 0 && b->span[b->nspans - 1].verdict == verdict)
			continue;
		assert(b->nspans < SANDBOX_CODE_MAX);
		b->span[b->nspans++] = (struct span){call, verdict};
	}
}

/* Search spans low to high - 1; what a jump to that search is. */
static int search(struct builder *b, unsigned low, unsigned high)
{
	unsigned middle = low + (high - low) / 2;
	struct branch *branch;

	if (high - low == 1)
		return -1 - b->span[low].verdict;
	branch = &b->branch[b->nbranches++];
	branch->group = b->ngroups;
	branch->at = emit(b->filter, BPF_JMP | BPF_JGE | BPF_K, b->span[middle].first, 0, 0);
	branch->no = search(b, low, middle);
	branch->yes = search(b, middle, high);
	return (int)branch->at;
}

static void add_trampoline(struct builder *b, struct group *group, uint8_t verdict)
{
	if (group->trampoline[verdict] == 0)
		group->trampoline[verdict] = emit(b->filter, BPF_JMP | BPF_JA, 0, 0, 0);
}

/* The same for any number of spans: one group behind the other. */
static int search_groups(struct builder *b, unsigned low, unsigned high)
{
	unsigned middle = low + (high - low) / 2;
	struct branch *branch;
	int at;

	if (high - low > GROUP_MAX) {
		branch = &b->branch[b->nbranches++];
		branch->at =
			emit(b->filter, BPF_JMP | BPF_JGE | BPF_K, b->span[middle].first, 0, 0);
		branch->no = search_groups(b, low, middle);
		branch->yes = search_groups(b, middle, high);
		return (int)branch->at;
	}
	assert(b->ngroups < GROUPS_MAX);
	at = search(b, low, high);
	for (unsigned i = low; i < high; i++)
		add_trampoline(b, &b->group[b->ngroups], b->span[i].verdict);
	b->ngroups++;
	/* A group of one span is its trampoline alone. */
	return at >= 0 ? at : (int)b->group[b->ngroups - 1].trampoline[b->span[low].verdict];
}

#define CONDITION_LEN 3u

/* Where it does not hold, `skip` instructions are left out. */
static void emit_condition(struct sandbox_filter *f, const struct condition *c, unsigned skip)
{
	emit(f, BPF_LD | BPF_W | BPF_ABS,
	     (uint32_t)(offsetof(struct seccomp_data, args) + 8u * (c->argument & ~AND_NEXT)), 0,
	     0);
	emit(f, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, skip);
}

static void emit_conditions(struct sandbox_filter *f, uint8_t verdict)
{
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		bool both;

		if (conditions[i].verdict != verdict)
			continue;
		both = (conditions[i].argument & AND_NEXT) != 0;
		emit_condition(f, &conditions[i], both ? CONDITION_LEN + 1 : 1);
		if (!both)
			give(f, SECCOMP_RET_ALLOW);
	}
	give(f, SECCOMP_RET_ERRNO | EPERM);
}

static void emit_own_thread(struct sandbox_filter *f, pid_t self)
{
	const struct condition own = {VERDICT_OWN_THREAD, 0, ALL, (uint32_t)self};

	emit_condition(f, &own, 1);
	give(f, SECCOMP_RET_ALLOW);
	give(f, SECCOMP_RET_ERRNO | EPERM);
}

static void emit_verdict(struct sandbox_filter *f, uint8_t verdict, pid_t self)
{
	switch (verdict) {
	case VERDICT_KILL:
		give(f, SECCOMP_RET_KILL_PROCESS);
		break;
	case VERDICT_MISSING:
		give(f, SECCOMP_RET_ERRNO | ENOSYS);
		break;
	case VERDICT_ALLOW:
		give(f, SECCOMP_RET_ALLOW);
		break;
	case VERDICT_OWN_THREAD:
		emit_own_thread(f, self);
		break;
	default:
		emit_conditions(f, verdict);
	}
}

static bool used(const struct builder *b, uint8_t verdict)
{
	for (unsigned i = 0; i < b->nspans; i++) {
		if (b->span[i].verdict == verdict)
			return true;
	}
	return false;
}

static uint8_t jump_distance(const struct builder *b, const struct branch *branch, int to)
{
	unsigned target = to < 0 ? b->group[branch->group].trampoline[-1 - to] : (unsigned)to;

	assert(target > branch->at && target - branch->at <= 256);
	return (uint8_t)(target - branch->at - 1);
}

static void aim(struct builder *b, const unsigned *verdict_at)
{
	for (unsigned i = 0; i < b->nbranches; i++) {
		const struct branch *branch = &b->branch[i];
		struct sock_filter *code = &b->filter->code[branch->at];

		code->jt = jump_distance(b, branch, branch->yes);
		code->jf = jump_distance(b, branch, branch->no);
	}
	for (unsigned i = 0; i < b->ngroups; i++) {
		for (unsigned v = 0; v < VERDICTS; v++) {
			unsigned at = b->group[i].trampoline[v];

			if (at != 0)
				b->filter->code[at].k = verdict_at[v] - at - 1;
		}
	}
}

void sandbox_filter_build(struct sandbox_filter *filter, const uint8_t verdicts[SANDBOX_CALLS],
			  pid_t self)
{
	struct builder b = {.filter = filter};
	unsigned verdict_at[VERDICTS] = {0};

	filter->len = 0;
	emit(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
	emit(filter, BPF_JMP | BPF_JEQ | BPF_K, ARCH_AUDIT, 1, 0);
	give(filter, SECCOMP_RET_KILL_PROCESS);
	emit(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	find_spans(&b, verdicts);
	(void)search_groups(&b, 0, b.nspans);
	for (uint8_t v = 0; v < VERDICTS; v++) {
		verdict_at[v] = filter->len;
		if (used(&b, v))
			emit_verdict(filter, v, self);
	}
	aim(&b, verdict_at);
}

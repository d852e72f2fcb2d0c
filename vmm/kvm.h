/*
 * KVM: the only interface, with kvm.c the only file, to /dev/kvm and VM and vCPU ioctls.
 *
 * Call order: kvm_open, kvm_set_memory for each range (why so early: vmm/machine.c), arch_vm_init
 * (x86-64: TSS and identity addresses, irqchip, PIT), kvm_vcpu_open for each vCPU; everything else
 * any time after.
 * Restoring follows vmm/x86_64/vcpu_state.c. Threads: VM calls from any thread; vCPU calls from the
 * thread that runs it, or from any other while the vCPU is stopped.
 *
 * All that take a `struct err` return 0 (or the ioctl's value, where the comment says so), or
 * -errno of the ioctl(2) with *err naming the request. Other errors are said where they occur.
 *
 * Numbers in comments are sections of the kernel's Documentation/virt/kvm/api.rst.
 */
#ifndef TORPOR_VMM_KVM_H
#define TORPOR_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct kvm {
	int dev_fd; /* /dev/kvm */
	int vm_fd;
	size_t run_size; /* bytes of each vCPU's struct kvm_run mapping */
	/* Edges are in the chips when irq_pulse() returns: no worker of the kernel's brings one
	 * into a state that was restored meanwhile (vmm/irq.h). */
	bool exact_edges;
	/* The architecture's. Zero on x86-64. */
	int chip_fd;		/* arm64: the GIC, a device of KVM's; 0: none */
	uint32_t chip_version;	/* of the GIC: 2 or 3 */
	uint32_t chip_vcpus;	/* that it serves */
	uint32_t vcpu_features; /* that each vCPU was made with */
	int boot_vcpu_fd; /* of vCPU 0, borrowed: KVM asks a vCPU what is the VM's; 0: there is none */
};

struct kvm_vcpu {
	int fd;
	uint32_t id;
	struct kvm_run *run; /* shared with the kernel */
	size_t run_size;
};

/* Open /dev/kvm; check API version 12 and the capabilities that every machine uses. ERR_FAILED: it
 * is not there or may not be opened, with what to do (module, group). ERR_INCOMPATIBLE names the
 * version or capability. Else the errno of open(2). On failure nothing is open. */
int kvm_open_device(struct kvm *kvm, struct err *err);
/* kvm_open_device, then create an empty VM; retried while KVM_CREATE_VM is interrupted (4.2).
 * Errors as there, or of KVM_CREATE_VM. */
int kvm_open(struct kvm *kvm, struct err *err);
/* Close what is open of it. */
void kvm_close(struct kvm *kvm);
#define cleanup_kvm __attribute__((cleanup(kvm_close)))

/* KVM_CHECK_EXTENSION on the VM, or on the device before there is one (4.4). 0 when absent. */
int kvm_extension(const struct kvm *kvm, unsigned cap);

/* One ioctl with its name in the error. EINTR is retried. Returns ioctl's value or -errno. For the
 * architecture's state code, which is a list of calls. */
#define kvm_call(kvm, request, arg, err)       kvm_ioctl_((kvm)->vm_fd, request, #request, arg, err)
#define kvm_dev_call(kvm, request, arg, err)   kvm_ioctl_((kvm)->dev_fd, request, #request, arg, err)
#define kvm_vcpu_call(vcpu, request, arg, err) kvm_ioctl_((vcpu)->fd, request, #request, arg, err)
#define kvm_chip_call(kvm, request, arg, err)                                                      \
	kvm_ioctl_((kvm)->chip_fd, request, #request, arg, err)
int kvm_ioctl_(int fd, unsigned long request, const char *name, const void *arg, struct err *err);

/* 4.35. `slot` is 0 or 1; userspace address and size in bytes, both page-aligned. */
int kvm_set_memory(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t size, void *host,
		   uint32_t flags, struct err *err);

/* Note which pages of slots with KVM_MEM_LOG_DIRTY_PAGES the guest writes (7.18, manual protection:
 * reading the log changes nothing). Before the first such slot; again does no harm. The bitmaps
 * have a bit for each of the slot's pages, the host's, in words of 64. ERR_INCOMPATIBLE: this
 * kernel lacks it. */
int kvm_enable_dirty_log(struct kvm *kvm, struct err *err);
/* 4.8 */
int kvm_get_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t *bitmap, struct err *err);
/* 4.117: forget those of `npages` pages from `first` on that are set in `bitmap`, and note the next
 * write to them. `first` is a multiple of 64; so is `npages`, unless they are the slot's last. */
int kvm_clear_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t first, uint64_t npages,
			const uint64_t *bitmap, struct err *err);

/* 4.75: pulses of `eventfd` become edges on `gsi`; assign false takes it back. */
int kvm_irqfd(struct kvm *kvm, int eventfd, uint32_t gsi, bool assign, struct err *err);
/* 4.59: a 32-bit write of `value` at MMIO `addr` signals `eventfd` instead of exiting. */
int kvm_ioeventfd(struct kvm *kvm, int eventfd, uint64_t addr, uint32_t value, bool assign,
		  struct err *err);
/* 4.25. Cannot fail for a line that the chips have. */
void kvm_irq_line(struct kvm *kvm, uint32_t gsi, bool high);

/* 4.7: create vCPU `id` and map its run area. Returns 0, or the errno of the ioctl or of mmap(2);
 * then nothing is open. */
int kvm_vcpu_open(struct kvm *kvm, uint32_t id, struct kvm_vcpu *vcpu, struct err *err);
void kvm_vcpu_close(struct kvm_vcpu *vcpu);
/* Of a process that was forked, and has not its descriptor any more. */
void kvm_vcpu_unmap(struct kvm_vcpu *vcpu);
#define cleanup_kvm_vcpu __attribute__((cleanup(kvm_vcpu_close)))
/* KVM_RUN once (4.10). Returns 0: an exit is to be served; -EINTR or -EAGAIN: it was interrupted;
 * or another -errno of the ioctl. vcpu_serve() takes all of these. */
int kvm_vcpu_run(struct kvm_vcpu *vcpu);

#endif

/* The KVM calls; see kvm.h. No state besides the caller's structs, no locks. */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "vmm/arch.h"

#define KVM_API_STABLE 12 /* KVM API 4.1: refuse to run on anything else */

/* Capabilities every machine uses, with what they are for in the error. */
static const struct {
	unsigned cap;
	const char *name;
} required[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

int kvm_ioctl_(int fd, unsigned long request, const char *name, const void *arg, struct err *err)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? err_sys(err, errno, "%s", name) : ret;
}

static int kvm_open_failed(int errnum, struct err *err)
{
	if (errnum == ENOENT || errnum == ENXIO || errnum == ENODEV)
		return err_set(err, ERR_FAILED,
			       "/dev/kvm is not there: load kvm_amd or kvm_intel, or enable "
			       "virtualization in the firmware or the outer hypervisor");
	if (errnum == EACCES || errnum == EPERM)
		return err_set(err, ERR_FAILED,
			       "/dev/kvm: permission denied: add yourself to the group kvm "
			       "(usermod -aG kvm USER, then log in again)");
	return err_sys(err, errnum, "open /dev/kvm");
}

int kvm_open_device(struct kvm *kvm, struct err *err)
{
	int version;

	*kvm = (struct kvm){.dev_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), .vm_fd = -1};
	if (kvm->dev_fd < 0)
		return kvm_open_failed(errno, err);
	version = ioctl(kvm->dev_fd, KVM_GET_API_VERSION, NULL);
	if (version != KVM_API_STABLE) {
		kvm_close(kvm);
		return err_set(err, ERR_INCOMPATIBLE, "/dev/kvm: API version %d, need %d", version,
			       KVM_API_STABLE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		if (kvm_extension(kvm, required[i].cap) <= 0) {
			kvm_close(kvm);
			return err_set(err, ERR_INCOMPATIBLE, "/dev/kvm: this kernel lacks %s",
				       required[i].name);
		}
	}
	return 0;
}

int kvm_open(struct kvm *kvm, struct err *err)
{
	int ret = kvm_open_device(kvm, err);

	if (ret < 0)
		return ret;
	ret = kvm_dev_call(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, err);
	if (ret > 0) {
		kvm->run_size = (size_t)ret;
		ret = kvm_dev_call(kvm, KVM_CREATE_VM, NULL, err);
	}
	if (ret < 0) {
		kvm_close(kvm);
		return err_context(err, ret, "create a virtual machine");
	}
	kvm->vm_fd = ret;
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->chip_fd > 0)
		close(kvm->chip_fd);
	kvm->chip_fd = kvm->boot_vcpu_fd = 0;
	if (kvm->vm_fd >= 0)
		close(kvm->vm_fd);
	if (kvm->dev_fd >= 0)
		close(kvm->dev_fd);
	kvm->vm_fd = kvm->dev_fd = -1;
}

int kvm_extension(const struct kvm *kvm, unsigned cap)
{
	int fd = kvm->vm_fd >= 0 ? kvm->vm_fd : kvm->dev_fd;
	int ret = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return ret < 0 ? 0 : ret;
}

int kvm_set_memory(struct kvm *kvm, uint32_t slot, uint64_t gpa, uint64_t size, void *host,
		   uint32_t flags, struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)(uintptr_t)host,
	};

	return kvm_call(kvm, KVM_SET_USER_MEMORY_REGION, &region, err);
}

int kvm_enable_dirty_log(struct kvm *kvm, struct err *err)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = {KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE},
	};

	if (kvm_extension(kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) <= 0)
		return err_set(err, ERR_INCOMPATIBLE,
			       "this kernel lacks KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	return kvm_call(kvm, KVM_ENABLE_CAP, &cap, err);
}

int kvm_get_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t *bitmap, struct err *err)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};

	return kvm_call(kvm, KVM_GET_DIRTY_LOG, &log, err);
}

int kvm_clear_dirty_log(struct kvm *kvm, uint32_t slot, uint64_t first, uint64_t npages,
			const uint64_t *bitmap, struct err *err)
{
	struct kvm_clear_dirty_log clear = {
		.slot = slot,
		.first_page = first,
		.num_pages = (uint32_t)npages,
		.dirty_bitmap = (void *)(uintptr_t)bitmap,
	};

	return kvm_call(kvm, KVM_CLEAR_DIRTY_LOG, &clear, err);
}

int kvm_irqfd(struct kvm *kvm, int eventfd, uint32_t gsi, bool assign, struct err *err)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return kvm_call(kvm, KVM_IRQFD, &irqfd, err);
}

int kvm_ioeventfd(struct kvm *kvm, int eventfd, uint64_t addr, uint32_t value, bool assign,
		  struct err *err)
{
	struct kvm_ioeventfd io = {
		.datamatch = value,
		.addr = addr,
		.len = 4,
		.fd = eventfd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return kvm_call(kvm, KVM_IOEVENTFD, &io, err);
}

void kvm_irq_line(struct kvm *kvm, uint32_t gsi, bool high)
{
	struct kvm_irq_level level = {.irq = arch_irq_line(gsi), .level = high};

	/* Fails only for a line that does not exist, which the platform header rules out. */
	(void)ioctl(kvm->vm_fd, KVM_IRQ_LINE, &level);
}

int kvm_vcpu_open(struct kvm *kvm, uint32_t id, struct kvm_vcpu *vcpu, struct err *err)
{
	void *run;
	int errnum;

	*vcpu = (struct kvm_vcpu){.id = id, .run_size = kvm->run_size};
	vcpu->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0)
		return err_sys(err, errno, "KVM_CREATE_VCPU %u", id);
	run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED) {
		errnum = errno;
		kvm_vcpu_close(vcpu);
		return err_sys(err, errnum, "map the run area of vCPU %u", id);
	}
	vcpu->run = run;
	if (id == 0)
		kvm->boot_vcpu_fd = vcpu->fd;
	return 0;
}

void kvm_vcpu_unmap(struct kvm_vcpu *vcpu)
{
	if (vcpu->run != NULL)
		munmap(vcpu->run, vcpu->run_size);
	*vcpu = (struct kvm_vcpu){.fd = -1};
}

void kvm_vcpu_close(struct kvm_vcpu *vcpu)
{
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	kvm_vcpu_unmap(vcpu);
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, NULL) < 0 ? -errno : 0;
}

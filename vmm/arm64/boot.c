/* What a machine boots from, put into its memory. See vmm/arm64/boot/. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/arm64/boot/fdt.h"
#include "vmm/arm64/boot/image.h"
#include "vmm/arm64/state.h"

/* Seeds of this boot alone: the kernel mixes them in and wipes them out of the tree. */
static int draw_seeds(struct arm64_tree *tree, struct err *err)
{
	if (getrandom(tree->rng_seed, sizeof(tree->rng_seed), 0) !=
		    (ssize_t)sizeof(tree->rng_seed) ||
	    getrandom(&tree->kaslr_seed, sizeof(tree->kaslr_seed), 0) !=
		    (ssize_t)sizeof(tree->kaslr_seed))
		return err_sys(err, errno, "draw the guest's first random numbers");
	return 0;
}

int arch_boot_load(struct mem *mem, const struct boot_source *src, const struct board_info *board,
		   struct boot_entry *entry, struct err *err)
{
	struct arm64_tree tree = {
		.memory = mem->size,
		.nvcpus = board->nvcpus,
		.gic = board->kvm != NULL ? board->kvm->chip_version : 3,
		.pmu = board->kvm != NULL &&
		       (board->kvm->vcpu_features & 1u << KVM_ARM_VCPU_PMU_V3) != 0,
		.virtio_slots = board->virtio_slots,
		.cmdline = src->cmdline,
		.initrd_len = src->initrd.len,
	};
	struct arm64_layout layout;
	uint8_t *out;
	size_t len;
	int ret = arm64_image_load(mem, src, &layout, err);

	if (ret < 0)
		return ret;
	tree.initrd = layout.initrd;
	ret = draw_seeds(&tree, err);
	if (ret < 0)
		return ret;
	out = mem_at_write(mem, layout.tree, ARM64_FDT_MAX);
	if (out == NULL)
		return err_set(err, ERR_FAILED, "the device tree does not fit into memory");
	ret = arm64_fdt_write(&tree, out, ARM64_FDT_MAX, &len, err);
	explicit_bzero(&tree, sizeof(tree));
	*entry = (struct boot_entry){.entry = layout.entry, .params = layout.tree};
	return ret;
}

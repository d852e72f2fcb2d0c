/* See fdt.h. Written from front to back by libfdt; its first error is kept and looked at once. */
#include "vmm/arm64/boot/fdt.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "vmm/arm64/boot/platform.h"

/* Interrupt specifiers of the GIC's binding: kind, number, trigger. */
#define SPI	    0u
#define PPI	    1u
#define EDGE_RISING 1u
#define LEVEL_HIGH  4u

/* In GICv2's specifiers of PPIs: the CPUs that they reach. */
#define PPI_CPUS(n) (((1u << (n)) - 1) << 8)

enum phandle { PHANDLE_GIC = 1, PHANDLE_CLOCK, PHANDLE_GPIO };

#define KEY_POWER    116u /* of <linux/input-event-codes.h> */
#define SERIAL_CLOCK 1843200u
#define PERIPH_CLOCK 24000000u
#define ACTIVE_HIGH  0u

struct writer {
	void *fdt;
	int error; /* libfdt's first; 0: none */
};

static void note(struct writer *w, int ret)
{
	if (w->error == 0 && ret < 0)
		w->error = ret;
}

static void begin(struct writer *w, const char *name)
{
	note(w, fdt_begin_node(w->fdt, name));
}

/* NAME@ADDRESS */
static void begin_at(struct writer *w, const char *name, uint64_t address)
{
	char text[64];

	snprintf(text, sizeof(text), "%s@%llx", name, (unsigned long long)address);
	begin(w, text);
}

static void end(struct writer *w)
{
	note(w, fdt_end_node(w->fdt));
}

static void flag(struct writer *w, const char *name)
{
	note(w, fdt_property(w->fdt, name, NULL, 0));
}

static void number(struct writer *w, const char *name, uint32_t value)
{
	note(w, fdt_property_u32(w->fdt, name, value));
}

static void text(struct writer *w, const char *name, const char *value)
{
	note(w, fdt_property(w->fdt, name, value, (int)strlen(value) + 1));
}

/* Several strings, each with its NUL. */
#define texts(w, name, value) note(w, fdt_property((w)->fdt, name, value, (int)sizeof(value)))

static void cells(struct writer *w, const char *name, const uint32_t *cell, unsigned n)
{
	fdt32_t big[16];

	for (unsigned i = 0; i < n; i++)
		big[i] = cpu_to_fdt32(cell[i]);
	note(w, fdt_property(w->fdt, name, big, (int)(n * sizeof(big[0]))));
}

#define CELLS(w, name, ...)                                                                        \
	cells(w, name, (const uint32_t[]){__VA_ARGS__},                                            \
	      sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

#define HALVES(value) (uint32_t)((uint64_t)(value) >> 32), (uint32_t)(value)

static void place(struct writer *w, uint64_t address, uint64_t size)
{
	CELLS(w, "reg", HALVES(address), HALVES(size));
}

static void spi(struct writer *w, uint32_t number, uint32_t trigger)
{
	CELLS(w, "interrupts", SPI, number, trigger);
}

static void write_chosen(struct writer *w, const struct arm64_tree *t)
{
	char path[32];

	begin(w, "chosen");
	text(w, "bootargs", t->cmdline);
	snprintf(path, sizeof(path), "/serial@%x", ARM64_SERIAL_ADDR);
	text(w, "stdout-path", path);
	if (t->initrd_len > 0) {
		note(w, fdt_property_u64(w->fdt, "linux,initrd-start", t->initrd));
		note(w, fdt_property_u64(w->fdt, "linux,initrd-end", t->initrd + t->initrd_len));
	}
	if (t->kaslr_seed != 0)
		note(w, fdt_property_u64(w->fdt, "kaslr-seed", t->kaslr_seed));
	if (!is_zero(t->rng_seed, sizeof(t->rng_seed)))
		note(w, fdt_property(w->fdt, "rng-seed", t->rng_seed, sizeof(t->rng_seed)));
	end(w);
}

static void write_memory(struct writer *w, const struct arm64_tree *t)
{
	begin_at(w, "memory", ARM64_RAM_START);
	text(w, "device_type", "memory");
	place(w, ARM64_RAM_START, t->memory);
	end(w);
	begin(w, "reserved-memory");
	number(w, "#address-cells", 2);
	number(w, "#size-cells", 2);
	flag(w, "ranges");
	begin_at(w, "machine", ARM64_RESERVED_ADDR);
	place(w, ARM64_RESERVED_ADDR, ARM64_RESERVED_SIZE);
	flag(w, "no-map");
	end(w);
	end(w);
}

static void write_cpus(struct writer *w, const struct arm64_tree *t)
{
	begin(w, "cpus");
	number(w, "#address-cells", 1);
	number(w, "#size-cells", 0);
	for (uint32_t i = 0; i < t->nvcpus; i++) {
		begin_at(w, "cpu", arm64_mpidr(i));
		text(w, "device_type", "cpu");
		text(w, "compatible", "arm,armv8");
		number(w, "reg", (uint32_t)arm64_mpidr(i));
		text(w, "enable-method", "psci");
		end(w);
	}
	end(w);
	begin(w, "psci");
	texts(w, "compatible", "arm,psci-1.0\0arm,psci-0.2");
	text(w, "method", "hvc");
	end(w);
}

static void write_gic(struct writer *w, const struct arm64_tree *t)
{
	begin_at(w, "interrupt-controller", ARM64_GIC_DIST_ADDR);
	text(w, "compatible", t->gic == 3 ? "arm,gic-v3" : "arm,cortex-a15-gic");
	number(w, "#interrupt-cells", 3);
	number(w, "#address-cells", 0);
	flag(w, "interrupt-controller");
	if (t->gic == 3)
		CELLS(w, "reg", HALVES(ARM64_GIC_DIST_ADDR), HALVES(ARM64_GIC_DIST_SIZE),
		      HALVES(ARM64_GIC_REDIST_ADDR),
		      HALVES((uint64_t)t->nvcpus * ARM64_GIC_REDIST_SIZE));
	else
		CELLS(w, "reg", HALVES(ARM64_GIC_DIST_ADDR), HALVES(ARM64_GICV2_DIST_SIZE),
		      HALVES(ARM64_GICV2_CPU_ADDR), HALVES(ARM64_GICV2_CPU_SIZE));
	number(w, "phandle", PHANDLE_GIC);
	end(w);
}

/* The flags of a PPI: GICv2 wants to know which CPUs have it. */
static uint32_t ppi_flags(const struct arm64_tree *t)
{
	const uint32_t cpus = t->nvcpus < ARM64_GICV2_VCPUS ? t->nvcpus : ARM64_GICV2_VCPUS;

	return LEVEL_HIGH | (t->gic == 3 ? 0 : PPI_CPUS(cpus));
}

static void write_timer(struct writer *w, const struct arm64_tree *t)
{
	const uint32_t flags = ppi_flags(t);

	begin(w, "timer");
	text(w, "compatible", "arm,armv8-timer");
	CELLS(w, "interrupts", PPI, ARM64_TIMER_SECURE_PPI, flags, PPI, ARM64_TIMER_PHYS_PPI, flags,
	      PPI, ARM64_TIMER_VIRT_PPI, flags, PPI, ARM64_TIMER_HYP_PPI, flags);
	flag(w, "always-on");
	end(w);
	if (t->pmu) {
		begin(w, "pmu");
		text(w, "compatible", "arm,armv8-pmuv3");
		CELLS(w, "interrupts", PPI, ARM64_PMU_PPI, flags);
		end(w);
	}
}

/* PrimeCell peripherals want a clock, although nothing here ticks by it. */
static void write_clock(struct writer *w)
{
	begin(w, "apb-pclk");
	text(w, "compatible", "fixed-clock");
	number(w, "#clock-cells", 0);
	number(w, "clock-frequency", PERIPH_CLOCK);
	text(w, "clock-output-names", "apb_pclk");
	number(w, "phandle", PHANDLE_CLOCK);
	end(w);
}

static void add_clock(struct writer *w)
{
	number(w, "clocks", PHANDLE_CLOCK);
	text(w, "clock-names", "apb_pclk");
}

static void write_devices(struct writer *w)
{
	begin_at(w, "serial", ARM64_SERIAL_ADDR);
	text(w, "compatible", "ns16550a");
	place(w, ARM64_SERIAL_ADDR, ARM64_DEVICE_SIZE);
	spi(w, ARM64_SERIAL_SPI, EDGE_RISING);
	number(w, "clock-frequency", SERIAL_CLOCK);
	end(w);

	begin_at(w, "rtc", ARM64_RTC_ADDR);
	texts(w, "compatible", "arm,pl031\0arm,primecell");
	place(w, ARM64_RTC_ADDR, ARM64_DEVICE_SIZE);
	add_clock(w);
	end(w);

	begin_at(w, "gpio", ARM64_GPIO_ADDR);
	texts(w, "compatible", "arm,pl061\0arm,primecell");
	place(w, ARM64_GPIO_ADDR, ARM64_DEVICE_SIZE);
	spi(w, ARM64_GPIO_SPI, LEVEL_HIGH);
	flag(w, "gpio-controller");
	number(w, "#gpio-cells", 2);
	add_clock(w);
	number(w, "phandle", PHANDLE_GPIO);
	end(w);

	begin(w, "gpio-keys");
	text(w, "compatible", "gpio-keys");
	begin(w, "key-power");
	text(w, "label", "power");
	number(w, "linux,code", KEY_POWER);
	CELLS(w, "gpios", PHANDLE_GPIO, ARM64_POWER_PIN, ACTIVE_HIGH);
	end(w);
	end(w);

	begin_at(w, "rng", ARM64_VMGENID_ADDR);
	text(w, "compatible", "microsoft,vmgenid");
	place(w, ARM64_VMGENID_ADDR, ARM64_VMGENID_SIZE);
	spi(w, ARM64_VMGENID_SPI, EDGE_RISING);
	end(w);
}

static void write_virtio(struct writer *w, const struct arm64_tree *t)
{
	for (uint32_t i = 0; i < ARM64_VIRTIO_SLOTS; i++) {
		const uint64_t base = ARM64_VIRTIO_BASE + (uint64_t)i * ARM64_VIRTIO_STRIDE;

		if (!(t->virtio_slots >> i & 1))
			continue;
		begin_at(w, "virtio_mmio", base);
		text(w, "compatible", "virtio,mmio");
		place(w, base, ARM64_VIRTIO_SIZE);
		spi(w, ARM64_VIRTIO_SPI + i, EDGE_RISING);
		flag(w, "dma-coherent");
		end(w);
	}
}

static void write_root(struct writer *w, const struct arm64_tree *t)
{
	begin(w, "");
	text(w, "model", "torpor-1");
	texts(w, "compatible", "torpor,torpor-1\0linux,dummy-virt");
	number(w, "#address-cells", 2);
	number(w, "#size-cells", 2);
	number(w, "interrupt-parent", PHANDLE_GIC);
	write_chosen(w, t);
	write_memory(w, t);
	write_cpus(w, t);
	write_gic(w, t);
	write_timer(w, t);
	write_clock(w);
	write_devices(w);
	write_virtio(w, t);
	end(w);
}

int arm64_fdt_write(const struct arm64_tree *tree, uint8_t *out, size_t size, size_t *len,
		    struct err *err)
{
	struct writer w = {.fdt = out};

	*len = 0;
	if (strlen(tree->cmdline) > ARM64_MAX_CMDLINE)
		return err_set(err, ERR_FAILED,
			       "command line: %zu bytes, a kernel of arm64 takes at most %u",
			       strlen(tree->cmdline), ARM64_MAX_CMDLINE);
	note(&w, fdt_create(out, size < ARM64_FDT_MAX ? (int)size : (int)ARM64_FDT_MAX));
	/* What libfdt did not begin it must not go on with. */
	if (w.error == 0) {
		note(&w, fdt_finish_reservemap(out));
		write_root(&w, tree);
		note(&w, fdt_finish(out));
	}
	if (w.error != 0)
		return err_sys(err, ENOSPC, "describe the machine to its guest (%s)",
			       fdt_strerror(w.error));
	*len = fdt_totalsize(out);
	return 0;
}

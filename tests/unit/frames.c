/* Frames by hand; see frames.h. Shares no code with what it tests. */
#include "tests/unit/frames.h"

#include <string.h>

uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

uint16_t slow_sum(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static size_t ip_at(const struct frame *f)
{
	return f->vlan ? 18 : 14;
}

size_t frame_l4(const struct frame *f)
{
	return ip_at(f) + (f->v6 ? 40 : 20) + f->options;
}

static uint16_t pseudo_sum(const struct frame *f, size_t len)
{
	uint8_t tail[4] = {0, f->protocol, (uint8_t)(len >> 8), (uint8_t)len};
	size_t width = f->v6 ? 16 : 4;

	return slow_sum(tail, 4, slow_sum(f->target, width, slow_sum(f->source, width, 0)));
}

static size_t put_ip(const struct frame *f, uint8_t *ip, size_t l4_len)
{
	if (f->v6) {
		ip[0] = 0x60;
		put16(ip + 4, (uint16_t)(f->options + l4_len));
		ip[6] = f->options ? 60 : f->protocol;
		ip[7] = 64;
		memcpy(ip + 8, f->source, 16);
		memcpy(ip + 24, f->target, 16);
		if (f->options) {
			ip[40] = f->protocol;
			ip[41] = (uint8_t)(f->options / 8 - 1);
			ip[42] = 1; /* PadN */
			ip[43] = (uint8_t)(f->options - 4);
		}
		return 40 + f->options;
	}
	ip[0] = (uint8_t)(0x40 | (20 + f->options) / 4);
	put16(ip + 2, (uint16_t)(20 + f->options + l4_len));
	put16(ip + 4, f->id);
	ip[8] = 64;
	ip[9] = f->protocol;
	memcpy(ip + 12, f->source, 4);
	memcpy(ip + 16, f->target, 4);
	memset(ip + 20, 1, f->options); /* NOP */
	put16(ip + 10, (uint16_t)~slow_sum(ip, 20 + f->options, 0));
	return 20 + f->options;
}

static size_t put_tcp(const struct frame *f, uint8_t *tcp)
{
	size_t len = 20 + (f->mss ? 4 : 0) + f->tcp_options;

	put16(tcp, f->source_port);
	put16(tcp + 2, f->target_port);
	put32(tcp + 4, f->seq);
	put32(tcp + 8, f->ack);
	tcp[12] = (uint8_t)(len / 4 << 4);
	tcp[13] = f->flags;
	put16(tcp + 14, f->window);
	memset(tcp + 20, 1, len - 20);
	if (f->mss) {
		tcp[len - 4] = 2;
		tcp[len - 3] = 4;
		put16(tcp + len - 2, f->mss);
	}
	return len;
}

static size_t make(const struct frame *f, uint8_t *out, bool partial)
{
	size_t l4 = frame_l4(f), header = 0, at = 0;
	uint16_t sum;

	memset(out, 0, l4 + 60);
	memcpy(out, f->to, 6);
	memcpy(out + 6, f->from, 6);
	if (f->vlan)
		put32(out + 12, 0x81000005);
	put16(out + ip_at(f) - 2, f->v6 ? 0x86dd : 0x0800);
	if (f->protocol == 6) {
		header = put_tcp(f, out + l4);
		at = 16;
	} else if (f->protocol == 17) {
		header = 8;
		at = 6;
		put16(out + l4, f->source_port);
		put16(out + l4 + 2, f->target_port);
		put16(out + l4 + 4, (uint16_t)(8 + f->len));
	}
	if (f->len > 0)
		memcpy(out + l4 + header, f->data, f->len);
	put_ip(f, out + ip_at(f), header + f->len);
	sum = pseudo_sum(f, header + f->len);
	if (at > 0 && partial)
		put16(out + l4 + at, sum);
	else if (at > 0)
		put16(out + l4 + at, (uint16_t)~slow_sum(out + l4, header + f->len, sum));
	if (at == 6 && !partial && get16(out + l4 + at) == 0)
		put16(out + l4 + at, 0xffff);
	return l4 + header + f->len;
}

size_t frame_make(const struct frame *f, uint8_t *out)
{
	return make(f, out, false);
}

size_t frame_make_partial(const struct frame *f, uint8_t *out)
{
	return make(f, out, true);
}

bool frame_is_sound(const uint8_t *frame, size_t len)
{
	struct frame f = {.vlan = get16(frame + 12) == 0x8100};
	const uint8_t *ip = frame + ip_at(&f), *l4;
	size_t end;

	f.v6 = get16(ip - 2) == 0x86dd;
	if (f.v6) {
		f.options = ip[6] == 60 ? 8 * (ip[41] + 1u) : 0;
		f.protocol = ip[6] == 60 ? ip[40] : ip[6];
		end = ip_at(&f) + 40 + get16(ip + 4);
	} else {
		f.options = (ip[0] & 15) * 4u - 20;
		f.protocol = ip[9];
		end = ip_at(&f) + get16(ip + 2);
		if (slow_sum(ip, 20 + f.options, 0) != 0xffff)
			return false;
	}
	if (end != len || end < frame_l4(&f))
		return false;
	memcpy(f.source, ip + (f.v6 ? 8 : 12), f.v6 ? 16 : 4);
	memcpy(f.target, ip + (f.v6 ? 24 : 16), f.v6 ? 16 : 4);
	if (f.protocol != 6 && f.protocol != 17)
		return true;
	l4 = frame + frame_l4(&f);
	return slow_sum(l4, end - frame_l4(&f), pseudo_sum(&f, end - frame_l4(&f))) == 0xffff;
}

/* Strings, numbers and the one way to answer. */
#include <stdarg.h>

#include "images/tiny/tiny.h"

/* The compiler may call these for a structure copy or initialiser. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	copy_bytes(to, from, n);
	return to;
}

void *memset(void *to, int c, size_t n)
{
	fill_bytes(to, c, n);
	return to;
}

bool str_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const char *str_after(const char *s, const char *prefix)
{
	while (*prefix) {
		if (*s++ != *prefix++)
			return NULL;
	}
	return s;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

bool str_number(const char **s, uint64_t *v)
{
	const char *p = *s;
	const char *hex = str_after(p, "0x");
	int base = hex ? 16 : 10;
	const char *first = hex ? hex : p;

	*v = 0;
	for (p = first; digit_value(*p) < base; p++)
		*v = *v * (uint64_t)base + (uint64_t)digit_value(*p);
	*s = p;
	return p != first;
}

bool args_get(const char *args, unsigned n, uint64_t *v)
{
	bool good = true;

	for (unsigned i = 0; i < n && good; i++) {
		while (*args == ' ')
			args++;
		good = str_number(&args, &v[i]);
	}
	if (!good || *args) {
		say("error arguments");
		return false;
	}
	return true;
}

struct line {
	char text[512];
	size_t n;
};

static void line_add(struct line *l, char c)
{
	if (l->n < sizeof(l->text))
		l->text[l->n++] = c;
}

static void line_number(struct line *l, uint64_t v, unsigned base, int min_digits)
{
	char digits[20];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v || n < min_digits);
	while (n)
		line_add(l, digits[--n]);
}

void say(const char *format, ...)
{
	static struct line l; /* on the stack it would be 512 bytes to clear or dirty each time */
	va_list ap;

	l.n = 0;
	va_start(ap, format);
	for (; *format; format++) {
		if (*format != '%') {
			line_add(&l, *format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *s = va_arg(ap, const char *); *s; s++)
				line_add(&l, *s);
			break;
		case 'u':
			line_number(&l, va_arg(ap, uint64_t), 10, 1);
			break;
		case 'x':
			line_number(&l, va_arg(ap, uint64_t), 16, 1);
			break;
		case 'X':
			line_number(&l, va_arg(ap, uint64_t), 16, 16);
			break;
		case 'b':
			line_number(&l, va_arg(ap, unsigned), 16, 2);
			break;
		}
	}
	va_end(ap);
	if (l.n == sizeof(l.text))
		l.n--;
	line_add(&l, '\n');
	if (!options.hvc || !console_write(l.text, l.n))
		serial_write(l.text, l.n);
}

uint64_t mix(uint64_t v)
{
	v += 0x9e3779b97f4a7c15;
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
	v = (v ^ v >> 27) * 0x94d049bb133111eb;
	return v ^ v >> 31;
}

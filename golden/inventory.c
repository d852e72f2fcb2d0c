/* See inventory.h. */
#include "golden/inventory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void inventory_add_escaped(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 0x7f || c == '\\')
			buf_printf(out, "\\x%02x", c);
		else
			buf_add(out, &c, 1);
	}
}

int inventory_add(struct inventory *inv, char *name, char *value, struct err *err)
{
	struct inventory_item *grown = NULL;

	if (name != NULL && value != NULL)
		grown = array_grow(inv->item, inv->n, sizeof(*grown));
	if (grown == NULL) {
		free(name);
		free(value);
		return err_sys(err, ENOMEM, "list what is in the guest");
	}
	inv->item = grown;
	grown[inv->n++] = (struct inventory_item){name, value};
	return 0;
}

static int inventory_by_name(const void *a, const void *b)
{
	const struct inventory_item *one = a, *other = b;

	return strcmp(one->name, other->name);
}

void inventory_sort(struct inventory *inv)
{
	if (inv->n > 0)
		qsort(inv->item, inv->n, sizeof(*inv->item), inventory_by_name);
}

int inventory_count(struct inventory *inv, struct err *err)
{
	size_t kept = 0, next;

	for (size_t i = 0; i < inv->n; i = next) {
		struct inventory_item *item = &inv->item[i];
		char *count;

		for (next = i + 1; next < inv->n; next++) {
			if (strcmp(inv->item[next].name, item->name) != 0)
				break;
		}
		if (asprintf(&count, "%zu", next - i) < 0)
			return err_sys(err, ENOMEM, "list what is in the guest");
		free(item->value);
		item->value = count;
		for (size_t twin = i + 1; twin < next; twin++) {
			free(inv->item[twin].name);
			free(inv->item[twin].value);
			inv->item[twin] = (struct inventory_item){0};
		}
		/* What is left behind here is freed with the rest after an error. */
		if (kept != i) {
			inv->item[kept] = *item;
			*item = (struct inventory_item){0};
		}
		kept++;
	}
	inv->n = kept;
	return 0;
}

struct inventory_item *inventory_find(const struct inventory *inv, const char *name)
{
	struct inventory_item key = {.name = (char *)name};

	if (inv->n == 0)
		return NULL;
	return bsearch(&key, inv->item, inv->n, sizeof(key), inventory_by_name);
}

size_t inventory_compare(const struct inventory *was, const struct inventory *is,
			 void (*tell)(void *opaque, const char *name, const char *was,
				      const char *is),
			 void *opaque)
{
	size_t i = 0, j = 0, n = 0;

	while (i < was->n || j < is->n) {
		const struct inventory_item *old = i < was->n ? &was->item[i] : NULL;
		const struct inventory_item *new = j < is->n ? &is->item[j] : NULL;
		int order = 0;

		if (old != NULL && new != NULL)
			order = strcmp(old->name, new->name);
		if (new == NULL || order < 0)
			new = NULL;
		else if (old == NULL || order > 0)
			old = NULL;
		i += old != NULL;
		j += new != NULL;
		if (old != NULL && new != NULL && strcmp(old->value, new->value) == 0)
			continue;
		n++;
		tell(opaque, old != NULL ? old->name : new->name, old != NULL ? old->value : NULL,
		     new != NULL ? new->value : NULL);
	}
	return n;
}

void inventory_free(struct inventory *inv)
{
	for (size_t i = 0; i < inv->n; i++) {
		free(inv->item[i].name);
		free(inv->item[i].value);
	}
	free(inv->item);
	*inv = (struct inventory){0};
}

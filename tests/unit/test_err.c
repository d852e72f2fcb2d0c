/* The error object. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

Test(err, set_tells_kind_text_and_errno)
{
	struct err err = {0};

	cr_assert(eq(int, err_set(&err, ERR_INTEGRITY, "bad %d", 7), -EINVAL));
	cr_assert(eq(int, err.kind, ERR_INTEGRITY));
	cr_assert_str_eq(err.text, "bad 7");
	cr_assert(eq(int, err_set(&err, ERR_NOT_FOUND, "none"), -ENOENT));
}

Test(err, sys_adds_the_reason)
{
	struct err err = {0};

	cr_assert(eq(int, err_sys(&err, ENOSPC, "write %s", "x"), -ENOSPC));
	cr_assert(eq(int, err.kind, ERR_FAILED));
	cr_assert_str_eq(err.text, "write x: No space left on device");
	cr_assert(eq(int, err_sys(&err, ENOENT, "open y"), -ENOENT));
	cr_assert(eq(int, err.kind, ERR_NOT_FOUND));
}

Test(err, context_goes_in_front_and_keeps_the_kind)
{
	struct err err = {0};

	err_set(&err, ERR_INCOMPATIBLE, "inner");
	cr_assert(eq(int, err_context(&err, -5, "outer %d", 1), -5));
	cr_assert_str_eq(err.text, "outer 1: inner");
	cr_assert(eq(int, err.kind, ERR_INCOMPATIBLE));
	err_clear(&err);
	cr_assert(eq(int, err.kind, ERR_NONE));
	cr_assert_str_eq(err.text, "");
}

Test(err, copy_takes_kind_and_text)
{
	const struct err from = {.kind = ERR_MISMATCH, .text = "inner"};
	struct err err = {.kind = ERR_FAILED, .text = "another"};

	cr_assert(eq(int, err_copy(&err, -6, &from), -6));
	cr_assert(eq(int, err.kind, ERR_MISMATCH));
	cr_assert_str_eq(err.text, "inner");
}

Test(err, overlong_texts_are_cut)
{
	struct err err = {0};
	char big[3000];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	err_set(&err, ERR_FAILED, "%s", big);
	cr_assert(eq(sz, strlen(err.text), sizeof(err.text) - 1));
	err_context(&err, -1, "%s", big);
	cr_assert(eq(sz, strlen(err.text), sizeof(err.text) - 1));
	err_sys(&err, EIO, "%s", big);
	cr_assert(eq(sz, strlen(err.text), sizeof(err.text) - 1));
}

Test(err, nobody_has_to_listen)
{
	cr_assert(eq(int, err_set(NULL, ERR_FAILED, "x"), -EINVAL));
	cr_assert(eq(int, err_sys(NULL, EIO, "x"), -EIO));
	cr_assert(eq(int, err_context(NULL, -3, "x"), -3));
	cr_assert(eq(int, err_copy(NULL, -4, &(struct err){.text = "x"}), -4));
	err_clear(NULL);
}

Test(buf, grows_and_formats)
{
	struct buf b = {0};

	for (int i = 0; i < 1000; i++)
		buf_add_le16(&b, (uint16_t)i);
	buf_printf(&b, "%s=%d", "key", 5);
	cr_assert(eq(sz, b.len, 2005));
	cr_assert_arr_eq(b.data + 2000, "key=5", 5);
	cr_assert(eq(u8, b.data[1998], 999 & 0xff));
	cr_assert_not(buf_failed(&b));
	cr_assert(ne(ptr, buf_add(&b, NULL, 3), NULL));
	cr_assert(eq(u8, b.data[2007], 0));
	buf_free(&b);
}

Test(buf, failure_is_sticky)
{
	struct buf b = {0};

	buf_add_u8(&b, 1);
	cr_assert(eq(ptr, buf_add(&b, NULL, SIZE_MAX), NULL));
	cr_assert(buf_failed(&b));
	cr_assert(eq(ptr, buf_add(&b, "x", 1), NULL));
	buf_free(&b);
}

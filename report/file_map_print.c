/* The two forms of file_map.h's maps: lines of text, and a page with drawings. */
#include <string.h>

#include "base/num.h"
#include "golden/markup.h"
#include "report/file_map.h"

#define ROWS	   8u	/* of a drawing */
#define ROW_HEIGHT 10.0 /* where a cell is 1 wide */

static const struct {
	char letter;
	const char *word, *class;
} kinds[] = {
	[MAP_NOTHING] = {' ', "headers and padding", "nothing"},
	[MAP_META] = {'i', "index, maps, hashes", "meta"},
	[MAP_KERNEL] = {'k', "kernel and initrd", "kernel"},
	[MAP_STATE] = {'s', "state of the devices", "state"},
	[MAP_HOT] = {'h', "hot: touched first", "hot"},
	[MAP_MEMORY] = {'m', "memory", "memory"},
	[MAP_DISK] = {'d', "disks", "disk"},
	[MAP_ZERO] = {'.', "zeros, not stored", "zero"},
	[MAP_PARENT] = {'=', "as in the parent or base", "parent"},
};

static void add(struct buf *out, const char *text)
{
	buf_add(out, text, strlen(text));
}

static void add_bytes(struct buf *out, uint64_t bytes)
{
	if (bytes < MIB(1))
		buf_printf(out, "%.1f KiB", (double)bytes / (double)KIB(1));
	else
		buf_printf(out, "%.1f MiB", (double)bytes / (double)MIB(1));
}

static void add_share(const struct map_strip *s, unsigned kind, struct buf *out)
{
	add_bytes(out, s->bytes[kind]);
	buf_printf(out, ", %.1f %%", 100.0 * (double)s->bytes[kind] / (double)s->size);
}

static const char *strip_name(const struct map_strip *s)
{
	return s->role[0] != '\0' ? s->role : "file";
}

/* --- text --- */

static enum map_kind rarest(const struct map_strip *s, uint32_t from, uint32_t to)
{
	enum map_kind best = s->cell[from];

	for (uint32_t i = from; i < to; i++) {
		if (s->bytes[s->cell[i]] < s->bytes[best])
			best = s->cell[i];
	}
	return best;
}

static void add_strip_text(const struct map_strip *s, unsigned columns, struct buf *out)
{
	const uint64_t width = u64_min(columns - 2, s->cells);

	buf_printf(out, "%s, ", strip_name(s));
	add_bytes(out, s->size);
	add(out, "\n|");
	for (uint64_t i = 0; i < width; i++) {
		const enum map_kind kind = rarest(s, (uint32_t)(i * s->cells / width),
						  (uint32_t)((i + 1) * s->cells / width));

		buf_add_u8(out, (uint8_t)kinds[kind].letter);
	}
	add(out, "|\n");
	for (unsigned k = 0; k < MAP_KINDS; k++) {
		if (s->bytes[k] == 0)
			continue;
		buf_printf(out, "  %c  %-26s", kinds[k].letter, kinds[k].word);
		add_share(s, k, out);
		add(out, "\n");
	}
}

void file_map_text(const struct file_map *map, unsigned columns, struct buf *out)
{
	for (size_t i = 0; i < map->nstrips; i++) {
		if (i > 0)
			add(out, "\n");
		add_strip_text(&map->strip[i], columns < 80 ? 80 : columns, out);
	}
}

/* --- the page --- */

static const char style[] =
	":root{color-scheme:light dark;--back:#fff;--card:#f6f8fa;--line:#d0d7de;--text:#1f2328;"
	"--soft:#59636e}\n"
	"@media(prefers-color-scheme:dark){:root{--back:#0d1117;--card:#151b23;--line:#3d444d;"
	"--text:#e6edf3;--soft:#9aa4af}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.5rem 1rem 4rem;"
	"background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif;"
	"overflow-wrap:anywhere}h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;"
	"margin:2rem 0 .5rem}p{margin:.4rem 0}.soft{color:var(--soft);font-size:.9rem}\n"
	"svg{display:block;width:100%;height:9rem;background:var(--card);"
	"border:1px solid var(--line);border-radius:.3rem}rect{fill:var(--is)}\n"
	".nothing{--is:#8c959f}.meta{--is:#6e7781}.kernel{--is:#8250df}.state{--is:#bf3989}"
	".hot{--is:#e16f24}.memory{--is:#0969da}.disk{--is:#1a7f37}.zero{--is:var(--card)}"
	".parent{--is:#9ec1ea}\n"
	"ul{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.2rem 1rem;"
	"list-style:none;margin:.5rem 0;padding:0;font-size:.9rem}li::before{content:'';"
	"display:inline-block;width:.9em;height:.9em;margin-right:.5em;background:var(--is);"
	"border:1px solid var(--line);vertical-align:-.1em}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;width:100%}"
	"th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--line)}"
	".n{font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}\n";

/* A rectangle for each run of cells of one kind, row by row. */
static void add_drawing(const struct map_strip *s, struct buf *out)
{
	const uint32_t wide = (s->cells + ROWS - 1) / ROWS;

	buf_printf(out,
		   "<svg viewBox=\"0 0 %u %.0f\" preserveAspectRatio=\"none\" role=\"img\" "
		   "aria-label=\"",
		   wide, ROWS * ROW_HEIGHT);
	markup_add_value(out, strip_name(s));
	add(out, " from its first byte to its last, row by row\">\n");
	for (uint32_t at = 0, end; at < s->cells; at = end) {
		const uint32_t row = at / wide;

		for (end = at + 1;
		     end < s->cells && end / wide == row && s->cell[end] == s->cell[at];)
			end++;
		buf_printf(
			out,
			"<rect class=\"%s\" x=\"%u\" y=\"%.0f\" width=\"%u\" height=\"%.0f\"/>\n",
			kinds[s->cell[at]].class, at % wide, row * ROW_HEIGHT, end - at,
			ROW_HEIGHT - 1);
	}
	add(out, "</svg>\n<ul>\n");
	for (unsigned k = 0; k < MAP_KINDS; k++) {
		if (s->bytes[k] == 0)
			continue;
		buf_printf(out, "<li class=\"%s\">%s: ", kinds[k].class, kinds[k].word);
		add_share(s, k, out);
		add(out, "</li>\n");
	}
	add(out, "</ul>\n");
}

static void add_blobs(const struct archive *a, struct buf *out)
{
	const struct archive_entry *entry;
	const size_t count = archive_entries(a, &entry);

	add(out,
	    "<h2>Blobs</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
	    "aria-label=\"Blobs\"><table>\n<tr><th>Role</th><th>From</th><th>Bytes</th></tr>\n");
	for (size_t i = 0; i < count; i++) {
		add(out, "<tr><td>");
		markup_add_value(out, entry[i].role);
		buf_printf(out, "</td><td class=\"n\">%llu</td><td class=\"n\">%llu</td></tr>\n",
			   (unsigned long long)entry[i].blob.offset,
			   (unsigned long long)entry[i].blob.len);
	}
	add(out, "</table></div>\n");
}

void file_map_html(const struct file_map *map, struct buf *out)
{
	add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		 "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
		 "<meta name=\"referrer\" content=\"no-referrer\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<title>");
	markup_add_value(out, archive_path(map->archive));
	add(out, " - torpor inspect</title>\n<style>\n");
	add(out, style);
	add(out, "</style>\n</head>\n<body>\n<main>\n<h1>");
	markup_add_value(out, archive_path(map->archive));
	add(out, "</h1>\n<p class=\"soft\">");
	markup_add_value(out, archive_digest(map->archive));
	add(out, "</p>\n");
	for (size_t i = 0; i < map->nstrips; i++) {
		add(out, "<h2>");
		markup_add_value(out, strip_name(&map->strip[i]));
		add(out, ", ");
		add_bytes(out, map->strip[i].size);
		add(out, "</h2>\n");
		add_drawing(&map->strip[i], out);
	}
	add_blobs(map->archive, out);
	add(out, "</main>\n</body>\n</html>\n");
}

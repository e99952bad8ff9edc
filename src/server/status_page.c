/* The page is rendered here only: its script fetches the page itself every 2 s and puts the new
 * <main> in the old one's place, so names are escaped in one place and a browser without scripts
 * sees the same. */
#include "server/status_page.h"

#include <string.h>

#include "base/json.h"

static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	"'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
	"form-action "
	"'none'\">\n"
	"<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>\n"
	"<title>Milvus-CDC</title>\n<style>\n"
	":root{color-scheme:light dark;--line:#d5d8dd;--soft:#667;--good:#1a7f37;--wait:#9a6700;"
	"--bad:#c62828}\n"
	"@media(prefers-color-scheme:dark){:root{--line:#3a3f47;--soft:#9aa3ad;--good:#4ac26b;"
	"--wait:#d4a72c;--bad:#ff7b72}}\n"
	"body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\n"
	"h1{font-size:1.4rem;margin:0}p{margin:.3rem 0;color:var(--soft)}\n"
	"table{border-collapse:collapse;width:100%;margin-top:1.2rem}\n"
	"th,td{text-align:left;padding:.45rem .6rem;border-bottom:1px solid var(--line);"
	"vertical-align:top;overflow-wrap:anywhere}\n"
	"th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;"
	"font-variant-numeric:tabular-nums}\n"
	".Running{color:var(--good)}.Initial{color:var(--wait)}.Paused,.bad{color:var(--bad)}\n"
	"small{color:var(--soft)}\n</style></head><body>\n<main>\n";

static const char foot[] =
	"</main>\n<p id=\"link\" class=\"bad\" hidden></p>\n"
	"<p><small><a href=\"/cdc/status.json\">status.json</a> &middot; "
	"<a href=\"/cdc/metrics\">metrics</a></small></p>\n<script>\n"
	"const link=document.getElementById('link');let since=0;\n"
	"async function tick(){\n"
	"  try{\n"
	"    const r=await fetch(location.href,{cache:'no-store'});if(!r.ok)throw 0;\n"
	"    const d=new DOMParser().parseFromString(await r.text(),'text/html');\n"
	"    document.querySelector('main').replaceWith(d.querySelector('main'));\n"
	"    since=0;link.hidden=true;\n"
	"  }catch(e){\n"
	"    since=since||Date.now();link.hidden=false;\n"
	"    link.textContent='No answer from the server for '"
	"+Math.round((Date.now()-since)/1000)+' s; the table is old.';\n"
	"  }\n"
	"  setTimeout(tick,2000);\n"
	"}\n"
	"setTimeout(tick,2000);\n</script>\n</body></html>\n";

static void put_text(struct buf *out, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<':
			buf_put_str(out, "&lt;");
			break;
		case '>':
			buf_put_str(out, "&gt;");
			break;
		case '&':
			buf_put_str(out, "&amp;");
			break;
		case '"':
			buf_put_str(out, "&quot;");
			break;
		case '\'':
			buf_put_str(out, "&#39;");
			break;
		default:
			buf_put_u8(out, (uint8_t)*s);
		}
	}
}

static void put_value(struct buf *out, const json_t *v)
{
	if (json_is_string(v))
		put_text(out, json_string_value(v));
	else if (json_is_integer(v))
		buf_putf(out, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		buf_putf(out, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		buf_put_str(out, json_is_true(v) ? "yes" : "no");
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* 1.2 s, 3 min, 5 h: a lag is read, not computed with. */
static void put_time(struct buf *out, double ms)
{
	if (ms < 1000)
		buf_putf(out, "%.0f ms", ms);
	else if (ms < 120e3)
		buf_putf(out, "%.1f s", ms / 1e3);
	else if (ms < 120 * 60e3)
		buf_putf(out, "%.0f min", ms / 60e3);
	else
		buf_putf(out, "%.1f h", ms / 3600e3);
}

/* "Source: address, status". */
static void put_peer(struct buf *out, const char *title, json_t *o)
{
	const char *key;
	json_t *v;
	bool any = false;

	if (!json_object_size(o))
		return;
	buf_putf(out, "<p>%s: ", title);
	json_object_foreach (o, key, v) {
		buf_put_str(out, any ? ", " : "");
		put_value(out, v);
		any = true;
	}
	buf_put_str(out, "</p>\n");
}

static void put_list(struct buf *out, const json_t *list)
{
	size_t n = json_array_size(list);

	if (!n)
		return;
	buf_putf(out, "<br><small>%zu skipped operation%s:", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < MIN(n, (size_t)5); i++) {
		const json_t *one = json_array_get(list, i);
		buf_put_str(out, "<br>");
		if (json_is_object(one))
			put_text(out, text_of(one, "text"));
		else
			put_value(out, one);
	}
	buf_put_str(out, n > 5 ? "<br>...</small>" : "</small>");
}

static void put_task(struct buf *out, const json_t *t)
{
	const char *state = text_of(t, "state");
	const char *reason = text_of(t, "reason");
	const char *waits = text_of(t, "waits_for");
	bool known = strcmp(state, "Running") == 0 || strcmp(state, "Initial") == 0 ||
		     strcmp(state, "Paused") == 0;

	buf_put_str(out, "<tr><td>");
	put_text(out, text_of(t, "task_id"));
	buf_put_str(out, "<br><small>");
	put_text(out, text_of(t, "target"));
	buf_putf(out, "</small></td><td class=\"%s\">", known ? state : "");
	put_text(out, state);
	buf_put_str(out, "</td><td>");
	put_text(out, reason);
	buf_put_str(out, *reason && *waits ? "<br>" : "");
	put_text(out, waits);
	put_list(out, json_object_get(t, "skipped_operations"));
	buf_put_str(out, "</td><td class=\"n\">");
	if (json_is_number(json_object_get(t, "lag_ms")))
		put_time(out, json_number_value(json_object_get(t, "lag_ms")));
	buf_put_str(out, "</td><td class=\"n\">");
	put_value(out, json_object_get(t, "collections"));
	buf_put_str(out, "</td><td class=\"n\">");
	put_value(out, json_object_get(t, "rows_written"));
	buf_put_str(out, "</td></tr>\n");
}

static void put_tasks(struct buf *out, const json_t *tasks)
{
	if (!json_array_size(tasks)) {
		buf_put_str(out, "<p>No tasks. A task is made by POST /cdc.</p>\n");
		return;
	}
	buf_put_str(out,
		"<table><thead><tr><th>Task</th><th>State</th><th>Why, and what it waits for</th>"
		"<th class=\"n\">Lag</th><th class=\"n\">Collections</th><th "
		"class=\"n\">Rows</th></tr>"
		"</thead><tbody>\n");
	for (size_t i = 0; i < json_array_size(tasks); i++)
		put_task(out, json_array_get(tasks, i));
	buf_put_str(out, "</tbody></table>\n");
}

void status_page_write(struct buf *out, const char *status_json)
{
	CLEANUP(json_in_freep)
	json_t *j = NULL;
	struct err e = ERR_INIT;

	buf_put_str(out, head);
	if (json_in_parse(slice_str(status_json), &j, &e) || !json_is_object(j)) {
		buf_put_str(
			out, "<h1>Milvus-CDC</h1><p class=\"bad\">The status can't be read.</p>\n");
		buf_put_str(out, foot);
		return;
	}
	buf_put_str(out, "<h1>Milvus-CDC ");
	put_text(out, text_of(j, "version"));
	buf_put_str(out, "</h1>\n<p>Up for ");
	put_time(out, json_number_value(json_object_get(j, "uptime_s")) * 1000);
	buf_put_str(out, "</p>\n");
	put_peer(out, "Source", json_object_get(j, "source"));
	put_peer(out, "Store", json_object_get(j, "store"));
	put_tasks(out, json_object_get(j, "tasks"));
	buf_put_str(out, foot);
}

/* The page for people: one self-contained text made of page/status.{html,css,js} by the build. It
 * holds no data and no secret, so everybody may have it; its script asks for /cdc/status.json, with
 * the token that it is given, and shows what it gets as text only. */
#pragma once

#include "base/buf.h"

/* The page, ending with a 0. Made by cmake/page.cmake. */
extern const char status_page_text[];

/* Appends the page's Content-Security-Policy: its own script and style by their digests, and nothing
 * else. @thread any */
void status_page_policy(struct buf *out);

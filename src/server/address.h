/* "host:port" as listeners and peers are written: "h:1", ":1", "1.2.3.4:1", "[::1]:1". */
#pragma once

#include "base/defs.h"

enum { ADDRESS_HOST_BYTES = 256 };

/* Splits text; the host may be empty (any), brackets are taken off. A scheme "http://" or
 * "https://" and a slash at the end are skipped. false if there is no port of 0...65535 or the host
 * has blanks. */
bool address_split(const char *text, char host[ADDRESS_HOST_BYTES], int *ret_port);

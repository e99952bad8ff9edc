/* The process as Prometheus' client libraries describe it, from /proc/self. */
#pragma once

#include "base/buf.h"

/* Appends the body of /cdc/metrics_default. What /proc does not tell is left out. @thread any */
void process_metrics_write(struct buf *b);

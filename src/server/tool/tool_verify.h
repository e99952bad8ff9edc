/* milvus-cdc verify. @thread main only */
#pragma once

struct cli;

/* The exit code: 0 identical, 1 different, 2 not known. */
int tool_verify_main(const struct cli *c);

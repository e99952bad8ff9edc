/* The composition root: reads the configuration, builds all parts in order, serves until a signal,
 * takes all down in reverse. Nothing remote is needed to start: what is missing is waited for and
 * named. */
#pragma once

/* The server command. Returns the process's exit code: 0 stopped by a signal, 1 can't start. Call
 * with SIGTERM, SIGINT blocked and SIGPIPE ignored. */
int server_main(const char *config_path, const char *version);
/* check-config: prints every problem; 0 if there is none. */
int server_check_config(const char *config_path);

/* What only a file can do: be locked, foreign, damaged, removed, full; and survive a kill. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/time.h"
#include "store/store_sqlite.h"

struct bed {
	char dir[64], path[96];
	struct stop stop;
};

static int up(void **state)
{
	struct bed *b = *state = xcalloc(1, sizeof(*b));
	stop_init(&b->stop, NULL);
	snprintf(b->dir, sizeof(b->dir), "/tmp/cdc-sqlite-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/cdc.db", b->dir);
	return 0;
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static int down(void **state)
{
	struct bed *b = *state;
	nftw(b->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	stop_done(&b->stop);
	free(b);
	return 0;
}

static struct store *open_ok(struct bed *b)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;
	if (store_sqlite_open(b->path, "cdc", &st, &e))
		fail_msg("%s", e.text);
	return st;
}

static void opens_with(const char *path, enum err_code code, const char *text)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(store_sqlite_open(path, "cdc", &st, &e), code);
	assert_null(st);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" does not say \"%s\"", e.text, text);
}

static enum err_code put(struct bed *b, struct store *st, const char *id, struct err *e)
{
	CLEANUP(task_freep)
	struct task *t = task_new();
	free(t->id);
	t->id = xstrdup(id);
	return store_put_task(st, t, &b->stop, e);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *h;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

static void write_file(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return st.st_mode & 0777;
}

static void test_only_its_owner_may_read_it(void **state)
{
	struct bed *b = *state;
	struct err e = ERR_INIT;
	mode_t old = umask(0);
	struct store *st = open_ok(b);
	CLEANUP(freep)
	char *wal = xasprintf("%s-wal", b->path);

	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	umask(old);
	assert_int_equal(mode_of(b->path), 0600);
	assert_int_equal(mode_of(wal), 0600);
	store_close(st);
	assert_int_equal(chmod(b->path, 0644), 0);
	st = open_ok(b);
	assert_int_equal(mode_of(b->path), 0600);
	store_close(st);
}

static void test_a_second_server_is_told_who_has_the_file(void **state)
{
	struct bed *b = *state;
	struct store *st = open_ok(b);
	CLEANUP(freep)
	char *link = xasprintf("%s/link.db", b->dir);
	char who[64];

	snprintf(who, sizeof(who), "in use by another server (process %d on ", (int)getpid());
	opens_with(b->path, ERR_CONFLICT, who);
	assert_int_equal(symlink(b->path, link), 0);
	opens_with(link, ERR_CONFLICT, who);
	store_close(st);
	st = open_ok(b);
	store_close(st);
}

static void test_what_is_not_ours_is_left_alone(void **state)
{
	struct bed *b = *state;
	CLEANUP(freep)
	char *text = xasprintf("%s/text", b->dir);
	CLEANUP(freep)
	char *other = xasprintf("%s/other.db", b->dir);
	CLEANUP(freep)
	char *nowhere = xasprintf("%s/no/x.db", b->dir);
	static const char words[] =
		"this is a letter to a friend and long enough to have a header of "
		"one hundred bytes, as SQLite's files have.";

	write_file(text, words, sizeof(words) - 1);
	opens_with(text, ERR_MALFORMED, "not a SQLite database");
	run_sql(other, "CREATE TABLE t(x)");
	opens_with(other, ERR_INVALID, "belongs to another program");
	opens_with(nowhere, ERR_SYSTEM, "No such file");
	opens_with(b->dir, ERR_SYSTEM, b->dir);
	opens_with("/proc/self/x.db", ERR_SYSTEM, "/x.db");
}

static void test_no_right_to_write(void **state)
{
	struct bed *b = *state;
	bool root = geteuid() == 0;

	assert_int_equal(chmod(b->dir, 0555), 0);
	if (root)
		assert_int_equal(seteuid(65534), 0);
	opens_with(b->path, ERR_DENIED, "can't be written: permission denied");
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(b->dir, 0700), 0);
}

static void test_a_newer_schema_is_refused(void **state)
{
	struct bed *b = *state;
	struct store *st = open_ok(b);

	store_close(st);
	run_sql(b->path, "UPDATE schema_version SET version = 2");
	opens_with(b->path, ERR_UNSUPPORTED, "schema 2");
}

static void test_a_damaged_file_says_so(void **state)
{
	struct bed *b = *state;
	struct store *st = open_ok(b);
	struct err e = ERR_INIT;
	struct task **l;
	size_t n;
	char junk[4096];

	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	store_close(st);
	/* All pages but the first, which holds the schema. */
	memset(junk, 0xa5, sizeof(junk));
	int fd = open(b->path, O_WRONLY);
	off_t size = lseek(fd, 0, SEEK_END);
	for (off_t at = 4096; at < size; at += 4096)
		assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
	close(fd);
	struct store *again = NULL;
	enum err_code code = store_sqlite_open(b->path, "cdc", &again, &e);
	if (!code) {
		code = store_read_tasks(again, &b->stop, &l, &n, &e);
		store_close(again);
	}
	assert_int_equal(code, ERR_MALFORMED);
	assert_non_null(strstr(e.text, "damaged"));
}

/* SQLite itself would go on writing to the removed file. */
static void test_a_removed_file_is_noticed(void **state)
{
	struct bed *b = *state;
	struct store *st = open_ok(b);
	struct err e = ERR_INIT;

	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	assert_int_equal(unlink(b->path), 0);
	assert_int_equal(put(b, st, "b", &e), ERR_SYSTEM);
	assert_non_null(strstr(e.text, "removed or replaced"));
	err_clear(&e);
	assert_int_equal(st->ops->check(st, &b->stop, &e), ERR_SYSTEM);
	store_close(st);
}

static void test_a_shell_with_a_transaction_makes_it_busy(void **state)
{
	struct bed *b = *state;
	struct store *st = open_ok(b);
	struct err e = ERR_INIT;
	sqlite3 *h;

	assert_int_equal(sqlite3_open(b->path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(put(b, st, "a", &e), ERR_BUSY);
	assert_non_null(strstr(e.text, "locked by another process"));
	assert_int_equal(sqlite3_exec(h, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
	err_clear(&e);
	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	store_close(st);
}

/* One value of a megabyte, and its key; to fill a disk with. */
static enum err_code put_big(struct bed *b, struct store *st, const char *value, struct err *e)
{
	struct store_ext x = {"big", value};
	struct store_batch batch = {.exts = &x, .n_exts = 1};
	return store_write(st, &batch, &b->stop, e);
}

static void test_no_room_on_the_disk(void **state)
{
	struct bed *b = *state;
	struct store *st = open_ok(b);
	struct err e = ERR_INIT;
	struct rlimit old, small;
	CLEANUP(freep)
	char *value = xcalloc(1, 1 << 20);

	memset(value, 'x', (1 << 20) - 1);
	assert_int_equal(put(b, st, "a", &e), ERR_OK);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 200000;
	setrlimit(RLIMIT_FSIZE, &small);
	enum err_code code = put_big(b, st, value, &e);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(code, ERR_SYSTEM);
	assert_non_null(strstr(e.text, b->path));
	/* Nothing of it is there, and it goes on when there is room again. */
	struct store_ext_kv *l;
	size_t n;
	err_clear(&e);
	assert_int_equal(store_read_exts(st, "", &b->stop, &l, &n, &e), ERR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(put_big(b, st, value, &e), ERR_OK);
	store_close(st);
}

/* The child commits batches for ever: round i writes the same number to all documents and one of
 * our records, and says so when it is committed. */
enum { DOCS = 5 };

static void commit_for_ever(struct bed *b, int out)
{
	struct err e = ERR_INIT;
	struct store *st = NULL;
	char id[] = "a", name[] = "n";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (store_sqlite_open(b->path, "cdc", &st, &e) || put(b, st, "a", &e))
		_exit(1);
	for (uint64_t i = 1;; i++) {
		struct store_position s = {.channel = "ch", .pos.ts = i << 18, .exact = true};
		struct store_positions l[DOCS];
		char value[32];
		snprintf(value, sizeof(value), "%llu", (unsigned long long)i);
		struct store_ext x = {"round", value};
		struct store_batch batch = {
			.positions = l, .n_positions = DOCS, .exts = &x, .n_exts = 1};
		for (int k = 0; k < DOCS; k++)
			l[k] = (struct store_positions){.task_id = id,
				.collection_id = k,
				.collection_name = name,
				.source = &s,
				.n_source = 1};
		if (store_write(st, &batch, &b->stop, &e) || write(out, &i, sizeof(i)) < 0)
			_exit(1);
	}
}

/* Lets the child commit `commits` batches, kills it at once, and returns the last number it said.
 */
static uint64_t kill_in_the_middle(struct bed *b, int commits)
{
	int fds[2], status;
	uint64_t last = 0, i;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		commit_for_ever(b, fds[1]);
	close(fds[1]);
	for (int k = 0; k < commits && read(fds[0], &i, sizeof(i)) == sizeof(i); k++)
		last = i;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	while (read(fds[0], &i, sizeof(i)) == sizeof(i))
		last = i;
	close(fds[0]);
	assert_true(WIFSIGNALED(status));
	return last;
}

static void test_kill_keeps_what_was_committed_whole(void **state)
{
	struct bed *b = *state;

	for (int round = 0; round < 6; round++) {
		uint64_t said = kill_in_the_middle(b, 3 + 7 * round);
		struct store *st = open_ok(b);
		struct err e = ERR_INIT;
		struct store_positions *l;
		struct store_ext_kv *x;
		size_t n, m;
		assert_int_equal(store_read_positions(st, "a", &b->stop, &l, &n, &e), ERR_OK);
		assert_int_equal(store_read_exts(st, "", &b->stop, &x, &m, &e), ERR_OK);
		assert_int_equal(n, DOCS);
		assert_int_equal(m, 1);
		uint64_t stored = strtoull(x[0].value, NULL, 10);
		/* The one in flight may have been committed without being said. */
		assert_true(stored == said || stored == said + 1);
		for (size_t k = 0; k < n; k++) {
			assert_null(l[k].damaged);
			assert_true(l[k].source[0].exact);
			assert_true(l[k].source[0].pos.ts == stored << 18);
		}
		store_positions_free(l, n);
		store_exts_free(x, m);
		store_close(st);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_its_owner_may_read_it, up, down),
		cmocka_unit_test_setup_teardown(
			test_a_second_server_is_told_who_has_the_file, up, down),
		cmocka_unit_test_setup_teardown(test_what_is_not_ours_is_left_alone, up, down),
		cmocka_unit_test_setup_teardown(test_no_right_to_write, up, down),
		cmocka_unit_test_setup_teardown(test_a_newer_schema_is_refused, up, down),
		cmocka_unit_test_setup_teardown(test_a_damaged_file_says_so, up, down),
		cmocka_unit_test_setup_teardown(test_a_removed_file_is_noticed, up, down),
		cmocka_unit_test_setup_teardown(
			test_a_shell_with_a_transaction_makes_it_busy, up, down),
		cmocka_unit_test_setup_teardown(test_no_room_on_the_disk, up, down),
		cmocka_unit_test_setup_teardown(test_kill_keeps_what_was_committed_whole, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Runs a fuzzer's entry function over every file of the folders and files named as arguments, so
 * that a corpus is a regression test in builds without libFuzzer. Prints how many inputs it ran. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return -1;
	size_t cap = 1 << 22;
	uint8_t *data = malloc(cap);
	size_t n = data ? fread(data, 1, cap, f) : 0;
	fclose(f);
	/* An exact allocation lets the address sanitizer see a read beyond the input. */
	uint8_t *exact = n ? realloc(data, n) : data;
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	int ran = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		if (stat(argv[i], &st)) {
			fprintf(stderr, "no corpus at %s\n", argv[i]);
			return 1;
		}
		if (S_ISREG(st.st_mode)) {
			ran += run_file(argv[i]) == 0;
			continue;
		}
		DIR *d = opendir(argv[i]);
		for (struct dirent *de; d && (de = readdir(d));) {
			char path[4096];
			snprintf(path, sizeof(path), "%s/%s", argv[i], de->d_name);
			if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
				ran += run_file(path) == 0;
		}
		if (d)
			closedir(d);
	}
	printf("%d inputs replayed\n", ran);
	return ran > 0 ? 0 : 1;
}

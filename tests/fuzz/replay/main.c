/*
 * Runs a fuzz target over saved inputs, without libFuzzer: replay-NAME FILE-OR-FOLDER…
 * A find that is kept in tests/fuzz/corpus/NAME stays mended because the ordinary tests come through here.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }

    int result = -1;
    uint8_t *data = NULL;
    struct stat info;
    if (fstat(fileno(file), &info) == 0) {
        size_t size = (size_t)info.st_size;
        /* Exactly as large as the input, so that a sanitizer sees a read beyond it. */
        data = malloc(size > 0 ? size : 1);
        if (data && fread(data, 1, size, file) == size) {
            LLVMFuzzerTestOneInput(data, size);
            result = 0;
        }
    }
    if (result != 0)
        fprintf(stderr, "%s: cannot be read\n", path);
    free(data);
    fclose(file);
    return result;
}

/* Returns how many inputs were run, or -1. */
static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return replay_file(path) == 0 ? 1 : -1;

    int count = 0;
    const struct dirent *entry;
    while (count >= 0 && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        char name[4096];
        int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof name || replay_file(name) != 0)
            count = -1;
        else
            count++;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);

    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);
        if (count < 0)
            return EXIT_FAILURE;
        printf("replayed %d inputs of %s\n", count, argv[i]);
    }
    return EXIT_SUCCESS;
}

#include "search/search_files.h"

#include "base/injection.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* What is read to be compared stays in the processor's cache until it is. */
enum { ALIGNMENT = 64, BUFFER_SIZE = 1 << 20, READ_SIZE = 256 << 10, NAME_SIZE = 32 };

/* What is left of a file moves when it is less than half of it, and not so much that the holes will do. Of
 * many files those move that are so many times smaller than the others. */
enum { MOVED_MAX = 32 << 20, FILES_MANY = 64, SMALL = 4 };

struct search_file {
    search_files *files;
    struct search_file *next;
    uint64_t number, size, used; /* used: bytes of places in use; with the lock */
    int descriptor;
    const unsigned char *mapping; /* NULL while it is written */
    struct search_place **places; /* in use, or not swept yet; in no order */
    size_t count, room;
};

struct search_files {
    pthread_mutex_t lock; /* of uses and `used` */
    int directory, lock_file;
    struct search_file *list;
    size_t count;
    uint64_t next;
    struct search_file *writing;
    FILE *stream;
};

static void name_of(uint64_t number, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "sections-%016" PRIx64, number);
}

static bool failed(error *err, const char *what)
{
    enum status_code code = errno == ENOMEM ? STATUS_RESOURCE_EXHAUSTED : STATUS_UNAVAILABLE;
    return error_set(err, code, "", "%s: %s", what, strerror(errno));
}

/* --- the directory ------------------------------------------------------------------------------------ */

static bool make_directory(const char *path, error *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set(err, STATUS_FAILED_PRECONDITION, "DATA_DIRECTORY", "cannot make %s: %s", path,
                         strerror(errno));
    return true;
}

static bool open_directory(search_files *files, const char *path, error *err)
{
    files->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->directory >= 0)
        files->lock_file = openat(files->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (files->directory < 0 || files->lock_file < 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "DATA_DIRECTORY", "cannot write to %s: %s", path,
                         strerror(errno));
    if (flock(files->lock_file, LOCK_EX | LOCK_NB) != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "DATA_DIRECTORY",
                         "another process uses the data in %s", path);
    return true;
}

bool search_files_open(const char *path, search_files **ret_files, error *err)
{
    search_files *files = calloc(1, sizeof *files);
    if (!files)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for files");
    files->directory = files->lock_file = -1;
    files->next = 1;
    pthread_mutex_init(&files->lock, NULL);
    if (make_directory(path, err) && open_directory(files, path, err)) {
        *ret_files = files;
        return true;
    }
    search_files_close(files);
    return false;
}

static void free_file(struct search_file *file)
{
    if (file->mapping)
        munmap((void *)(uintptr_t)file->mapping, file->size);
    if (file->descriptor >= 0)
        close(file->descriptor);
    for (size_t i = 0; i < file->count; i++)
        free(file->places[i]);
    free(file->places);
    free(file);
}

void search_files_close(search_files *files)
{
    if (!files)
        return;
    while (files->list) {
        struct search_file *next = files->list->next;
        free_file(files->list);
        files->list = next;
    }
    if (files->lock_file >= 0)
        close(files->lock_file);
    if (files->directory >= 0)
        close(files->directory);
    pthread_mutex_destroy(&files->lock);
    free(files);
}

int search_files_directory(const search_files *files)
{
    return files->directory;
}

/* --- places ------------------------------------------------------------------------------------------- */

/* A file with room for one more place, so that adding it cannot fail. */
static bool reserve(struct search_file *file)
{
    if (file->count < file->room)
        return true;
    size_t room = file->room ? file->room * 2 : 16;
    struct search_place **grown = reallocarray(file->places, room, sizeof(struct search_place *));
    if (!grown)
        return false;
    file->places = grown;
    file->room = room;
    return true;
}

static struct search_place *add_place(struct search_file *file, const struct search_place *like, error *err)
{
    struct search_place *place = reserve(file) ? malloc(sizeof *place) : NULL;
    if (!place) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a section");
        return NULL;
    }
    *place = *like;
    place->file = file;
    place->uses = 1;
    file->places[file->count++] = place;
    pthread_mutex_lock(&file->files->lock);
    file->used += place->size;
    pthread_mutex_unlock(&file->files->lock);
    return place;
}

void search_place_use(struct search_place *place)
{
    pthread_mutex_lock(&place->file->files->lock);
    place->uses++;
    pthread_mutex_unlock(&place->file->files->lock);
}

void search_place_unuse(struct search_place *place)
{
    if (!place)
        return;
    pthread_mutex_t *lock = &place->file->files->lock;
    pthread_mutex_lock(lock);
    if (--place->uses == 0)
        place->file->used -= place->size;
    pthread_mutex_unlock(lock);
}

uint64_t search_place_file(const struct search_place *place)
{
    return place->file->number;
}

bool search_place_is_lonely(const struct search_place *place)
{
    const struct search_file *file = place->file;
    pthread_mutex_lock(&file->files->lock);
    uint64_t used = file->used;
    pthread_mutex_unlock(&file->files->lock);
    if (used < file->size / 2 && used < MOVED_MAX)
        return true;
    return file->files->count > FILES_MANY &&
           used < search_files_bytes(file->files) / file->files->count / SMALL;
}

static void release_block(struct search_block *block)
{
    search_place_unuse(block->context);
}

struct search_place *search_place_of(const struct search_block *block)
{
    return block->release == release_block ? block->context : NULL;
}

struct search_block *search_place_block(struct search_place *place, error *err)
{
    struct search_section section;
    if (!search_section_open_known(place->file->mapping + place->offset, place->size, &section, err))
        return NULL;
    struct search_block *block = calloc(1, sizeof *block);
    if (!block) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a section");
        return NULL;
    }
    atomic_init(&block->references, 1);
    block->section = section;
    block->release = release_block;
    block->context = place;
    search_place_use(place);
    return block;
}

/* --- writing ------------------------------------------------------------------------------------------ */

static struct search_file *new_file(search_files *files, uint64_t number, int descriptor)
{
    struct search_file *file = calloc(1, sizeof *file);
    if (!file) {
        errno = ENOMEM;
        return NULL;
    }
    *file =
        (struct search_file){.files = files, .next = files->list, .number = number, .descriptor = descriptor};
    files->list = file;
    files->count++;
    if (number >= files->next)
        files->next = number + 1;
    return file;
}

bool search_files_begin(search_files *files, error *err)
{
    char name[NAME_SIZE];
    name_of(files->next, name);
    int descriptor = openat(files->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int copy = descriptor >= 0 ? fcntl(descriptor, F_DUPFD_CLOEXEC, 0) : -1;
    files->stream = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (files->stream && (files->writing = new_file(files, files->next, descriptor))) {
        setvbuf(files->stream, NULL, _IOFBF, BUFFER_SIZE);
        return true;
    }
    failed(err, "cannot make a file of sections");
    if (files->stream)
        fclose(files->stream);
    else if (copy >= 0)
        close(copy);
    if (descriptor >= 0) {
        close(descriptor);
        unlinkat(files->directory, name, 0);
    }
    files->stream = NULL;
    return false;
}

bool search_files_add(search_files *files, const struct search_section *section,
                      struct search_place **ret_place, error *err)
{
    static const unsigned char zeroes[ALIGNMENT];
    struct search_file *file = files->writing;
    size_t padding = -file->size % ALIGNMENT;
    if (injection_point("search_files.write")) {
        errno = ENOSPC;
        return failed(err, "cannot write sections");
    }
    if (fwrite(zeroes, 1, padding, files->stream) < padding ||
        fwrite(section->data, 1, section->size, files->stream) < section->size)
        return failed(err, "cannot write sections");
    const struct search_section_header *header = (const struct search_section_header *)section->data;
    const struct search_place place = {
        .offset = file->size + padding, .size = section->size, .checksum = header->checksum};
    file->size = place.offset + place.size;
    *ret_place = add_place(file, &place, err);
    return *ret_place;
}

static bool map_file(struct search_file *file, error *err)
{
    void *mapping = mmap(NULL, file->size, PROT_READ, MAP_SHARED, file->descriptor, 0);
    if (mapping == MAP_FAILED)
        return failed(err, "cannot map a file of sections");
    file->mapping = mapping;
    return true;
}

void search_files_abandon(search_files *files)
{
    fclose(files->stream);
    files->stream = NULL;
    files->writing = NULL;
}

bool search_files_end(search_files *files, error *err)
{
    struct search_file *file = files->writing;
    bool done = fflush(files->stream) == 0 && fdatasync(file->descriptor) == 0;
    if (!done)
        failed(err, "cannot write sections");
    search_files_abandon(files);
    if (done && fsync(files->directory) != 0)
        done = failed(err, "cannot write the data directory");
    return done && (file->size == 0 || map_file(file, err));
}

/* --- reading ------------------------------------------------------------------------------------------ */

static bool open_file(search_files *files, uint64_t number, struct search_file **ret_file, error *err)
{
    char name[NAME_SIZE];
    struct stat status;
    for (struct search_file *file = files->list; file; file = file->next)
        if (file->number == number) {
            *ret_file = file;
            return true;
        }
    name_of(number, name);
    int descriptor = openat(files->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0)
        return failed(err, name);
    struct search_file *file = NULL;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode))
        file = new_file(files, number, descriptor);
    if (!file) {
        failed(err, name);
        close(descriptor);
        return false;
    }
    file->size = (uint64_t)status.st_size;
    *ret_file = file;
    return file->size == 0 || map_file(file, err);
}

/* Reads rather than looks at the mapping: what the disk fails to read is an error then, not a signal. */
static bool verify(const struct search_file *file, const struct search_place *place, error *err)
{
    size_t from = offsetof(struct search_section_header, size);
    unsigned char *buffer = malloc(READ_SIZE);
    XXH3_state_t *state = XXH3_createState();
    bool done = buffer && state && XXH3_64bits_reset(state) == XXH_OK;
    errno = ENOMEM;
    for (uint64_t at = from; done && at < place->size;) {
        size_t left = place->size - at < READ_SIZE ? place->size - at : READ_SIZE;
        errno = EIO;
        ssize_t length = pread(file->descriptor, buffer, left, (off_t)(place->offset + at));
        done = length > 0 && XXH3_64bits_update(state, buffer, (size_t)length) == XXH_OK;
        at += done ? (size_t)length : 0;
    }
    bool same = done && XXH3_64bits_digest(state) == place->checksum;
    XXH3_freeState(state);
    free(buffer);
    if (!done)
        return failed(err, "cannot read a section");
    return same || error_set(err, STATUS_DATA_LOSS, "", "a section has another checksum");
}

bool search_files_find(search_files *files, uint64_t number, const struct search_place *wanted,
                       struct search_place **ret_place, error *err)
{
    struct search_file *file = NULL;
    if (!open_file(files, number, &file, err))
        return false;
    if (wanted->offset % 8 || wanted->offset > file->size || wanted->size > file->size - wanted->offset ||
        wanted->size < sizeof(struct search_section_header))
        return error_set(err, STATUS_DATA_LOSS, "", "a file of sections is too short");
    if (!verify(file, wanted, err))
        return false;
    *ret_place = add_place(file, wanted, err);
    return *ret_place;
}

/* --- tidying up --------------------------------------------------------------------------------------- */

/* Takes bytes out of a file. What cannot be made a hole is overwritten. */
static void clear(const struct search_file *file, uint64_t from, uint64_t to)
{
    static const unsigned char zeroes[4096];
    if (from >= to || fallocate(file->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                                (off_t)(to - from)) == 0)
        return;
    while (from < to) {
        size_t length = to - from < sizeof zeroes ? to - from : sizeof zeroes;
        ssize_t written = pwrite(file->descriptor, zeroes, length, (off_t)from);
        if (written <= 0) {
            log_error("a file of sections keeps what it should not",
                      LOG_TEXT("error.message", strerror(errno)));
            return;
        }
        from += (uint64_t)written;
    }
}

static void sweep_file(struct search_file *file, bool in_use)
{
    size_t kept = 0;
    for (size_t i = 0; i < file->count; i++) {
        struct search_place *place = file->places[i];
        pthread_mutex_lock(&file->files->lock);
        bool used = place->uses > 0;
        pthread_mutex_unlock(&file->files->lock);
        if (used) {
            file->places[kept++] = place;
            continue;
        }
        if (in_use)
            clear(file, place->offset, place->offset + place->size);
        free(place);
    }
    file->count = kept;
}

static bool is_in_use(struct search_file *file)
{
    pthread_mutex_lock(&file->files->lock);
    bool used = file->used > 0;
    pthread_mutex_unlock(&file->files->lock);
    return used;
}

static void remove_file(search_files *files, const char *name)
{
    if (unlinkat(files->directory, name, 0) != 0 && errno != ENOENT)
        log_error("a file of sections cannot be removed", LOG_TEXT("file", name),
                  LOG_TEXT("error.message", strerror(errno)));
}

void search_files_sweep(search_files *files)
{
    struct search_file **link = &files->list;
    while (*link) {
        struct search_file *file = *link;
        bool in_use = is_in_use(file);
        sweep_file(file, in_use);
        if (in_use) {
            link = &file->next;
            continue;
        }
        char name[NAME_SIZE];
        name_of(file->number, name);
        remove_file(files, name);
        *link = file->next;
        files->count--;
        free_file(file);
    }
}

static int compare_places(const void *a, const void *b)
{
    const struct search_place *left = *(struct search_place *const *)a;
    const struct search_place *right = *(struct search_place *const *)b;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

static bool is_known(const search_files *files, const char *name)
{
    char known[NAME_SIZE];
    for (const struct search_file *file = files->list; file; file = file->next) {
        name_of(file->number, known);
        if (strcmp(name, known) == 0)
            return true;
    }
    return false;
}

static void remove_unknown(search_files *files)
{
    int copy = openat(files->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy >= 0 ? fdopendir(copy) : NULL;
    if (!directory && copy >= 0)
        close(copy);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        static const char prefix[] = "sections-";
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0)
            continue;
        uint64_t number = strtoull(entry->d_name + sizeof prefix - 1, NULL, 16);
        if (number >= files->next)
            files->next = number + 1;
        if (!is_known(files, entry->d_name))
            remove_file(files, entry->d_name);
    }
    if (directory)
        closedir(directory);
}

/* What lies between two sections for their alignment was written as zeroes. */
static void clear_gap(const struct search_file *file, uint64_t from, uint64_t to)
{
    if (to > from && to - from >= ALIGNMENT)
        clear(file, from, to);
}

void search_files_trim(search_files *files)
{
    remove_unknown(files);
    search_files_sweep(files);
    for (struct search_file *file = files->list; file; file = file->next) {
        uint64_t end = 0;
        qsort(file->places, file->count, sizeof(struct search_place *), compare_places);
        for (size_t i = 0; i < file->count; i++) {
            const struct search_place *place = file->places[i];
            clear_gap(file, end, place->offset);
            end = place->offset + place->size > end ? place->offset + place->size : end;
        }
        clear_gap(file, end, file->size);
    }
}

uint64_t search_files_bytes(const search_files *files)
{
    uint64_t bytes = 0;
    search_files *locked = (search_files *)(uintptr_t)files;
    pthread_mutex_lock(&locked->lock);
    for (const struct search_file *file = files->list; file; file = file->next)
        bytes += file->used;
    pthread_mutex_unlock(&locked->lock);
    return bytes;
}

size_t search_files_count(const search_files *files)
{
    return files->count;
}

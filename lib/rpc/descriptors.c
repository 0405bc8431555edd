#include "rpc/descriptors.h"

#include "base/arena.h"
#include "rpc/wire.h"

#include <stdlib.h>
#include <string.h>

enum symbol_kind { SYMBOL_OTHER, SYMBOL_MESSAGE, SYMBOL_METHOD };

struct symbol {
    const char *name;
    const Google__Protobuf__FileDescriptorProto *file;
    const Google__Protobuf__MethodDescriptorProto *method; /* of methods */
    enum symbol_kind kind;
};

struct descriptor_set {
    arena *memory;
    const Google__Protobuf__FileDescriptorProto **files;
    size_t file_count, file_size;
    struct symbol *symbols; /* sorted by name */
    size_t symbol_count, symbol_size;
    bool failed; /* out of memory */
};

struct descriptor_set *descriptor_set_new(void)
{
    struct descriptor_set *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    set->memory = arena_new(64u << 20);
    if (!set->memory) {
        free(set);
        return NULL;
    }
    return set;
}

void descriptor_set_free(struct descriptor_set *set)
{
    if (!set)
        return;
    arena_free(set->memory);
    free(set->files);
    free(set->symbols);
    free(set);
}

/* Room for one more; false, and `failed`, when memory is out. */
static bool grow(struct descriptor_set *set, void *array, size_t count, size_t *size, size_t member)
{
    if (count < *size)
        return true;
    size_t grown = *size ? *size * 2 : 64;
    void **at = array;
    void *moved = reallocarray(*at, grown, member);
    if (!moved) {
        set->failed = true;
        return false;
    }
    *at = moved;
    *size = grown;
    return true;
}

static const char *add_symbol(struct descriptor_set *set, const char *scope, const char *name,
                              const Google__Protobuf__FileDescriptorProto *file, enum symbol_kind kind,
                              const Google__Protobuf__MethodDescriptorProto *method)
{
    const char *full =
        *scope ? arena_printf(set->memory, "%s.%s", scope, name) : arena_strdup(set->memory, name);
    if (!full || !grow(set, &set->symbols, set->symbol_count, &set->symbol_size, sizeof *set->symbols)) {
        set->failed = true;
        return "";
    }
    set->symbols[set->symbol_count++] = (struct symbol){full, file, method, kind};
    return full;
}

static void add_enum(struct descriptor_set *set, const char *scope,
                     const Google__Protobuf__EnumDescriptorProto *e,
                     const Google__Protobuf__FileDescriptorProto *file)
{
    add_symbol(set, scope, e->name, file, SYMBOL_OTHER, NULL);
    /* Values belong to the scope around their enum. */
    for (size_t i = 0; i < e->n_value; i++)
        add_symbol(set, scope, e->value[i]->name, file, SYMBOL_OTHER, NULL);
}

static void add_message(struct descriptor_set *set, const char *scope,
                        const Google__Protobuf__DescriptorProto *m,
                        const Google__Protobuf__FileDescriptorProto *file)
{
    const char *full = add_symbol(set, scope, m->name, file, SYMBOL_MESSAGE, NULL);
    for (size_t i = 0; i < m->n_field; i++)
        add_symbol(set, full, m->field[i]->name, file, SYMBOL_OTHER, NULL);
    for (size_t i = 0; i < m->n_oneof_decl; i++)
        add_symbol(set, full, m->oneof_decl[i]->name, file, SYMBOL_OTHER, NULL);
    for (size_t i = 0; i < m->n_extension; i++)
        add_symbol(set, full, m->extension[i]->name, file, SYMBOL_OTHER, NULL);
    for (size_t i = 0; i < m->n_enum_type; i++)
        add_enum(set, full, m->enum_type[i], file);
    for (size_t i = 0; i < m->n_nested_type; i++)
        add_message(set, full, m->nested_type[i], file);
}

static void add_file(struct descriptor_set *set, const Google__Protobuf__FileDescriptorProto *file)
{
    if (!grow(set, &set->files, set->file_count, &set->file_size, sizeof(void *)))
        return;
    set->files[set->file_count++] = file;
    const char *package = file->package ? file->package : "";
    for (size_t i = 0; i < file->n_message_type; i++)
        add_message(set, package, file->message_type[i], file);
    for (size_t i = 0; i < file->n_enum_type; i++)
        add_enum(set, package, file->enum_type[i], file);
    for (size_t i = 0; i < file->n_extension; i++)
        add_symbol(set, package, file->extension[i]->name, file, SYMBOL_OTHER, NULL);
    for (size_t i = 0; i < file->n_service; i++) {
        const Google__Protobuf__ServiceDescriptorProto *service = file->service[i];
        const char *full = add_symbol(set, package, service->name, file, SYMBOL_OTHER, NULL);
        for (size_t k = 0; k < service->n_method; k++)
            add_symbol(set, full, service->method[k]->name, file, SYMBOL_METHOD, service->method[k]);
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

bool descriptor_set_add(struct descriptor_set *set, const void *data, size_t size, error *err)
{
    ProtobufCMessage *message;
    if (!wire_unpack(&google__protobuf__file_descriptor_set__descriptor, data, size, set->memory, &message,
                     err))
        return false;
    const Google__Protobuf__FileDescriptorSet *files = (const void *)message;
    for (size_t i = 0; i < files->n_file; i++)
        if (!descriptor_set_file(set, files->file[i]->name))
            add_file(set, files->file[i]);
    if (set->failed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the descriptors");
    if (set->symbol_count > 0)
        qsort(set->symbols, set->symbol_count, sizeof *set->symbols, compare);
    return true;
}

const Google__Protobuf__FileDescriptorProto *descriptor_set_file(const struct descriptor_set *set,
                                                                 const char *name)
{
    for (size_t i = 0; i < set->file_count; i++)
        if (strcmp(set->files[i]->name, name) == 0)
            return set->files[i];
    return NULL;
}

static const struct symbol *find(const struct descriptor_set *set, const char *name)
{
    struct symbol key = {.name = name};
    if (set->symbol_count == 0)
        return NULL;
    return bsearch(&key, set->symbols, set->symbol_count, sizeof *set->symbols, compare);
}

const Google__Protobuf__FileDescriptorProto *descriptor_set_symbol(const struct descriptor_set *set,
                                                                   const char *name)
{
    const struct symbol *found = find(set, name);
    return found ? found->file : NULL;
}

const Google__Protobuf__MethodDescriptorProto *descriptor_set_method(const struct descriptor_set *set,
                                                                     const char *service, const char *method)
{
    char name[512];
    size_t service_length = strlen(service), method_length = strlen(method);
    if (service_length + method_length + 2 > sizeof name)
        return NULL;
    memcpy(name, service, service_length);
    name[service_length] = '.';
    memcpy(name + service_length + 1, method, method_length + 1);
    const struct symbol *found = find(set, name);
    return found ? found->method : NULL;
}

bool descriptor_set_is_message(const struct descriptor_set *set, const char *name)
{
    const struct symbol *found = find(set, name);
    return found && found->kind == SYMBOL_MESSAGE;
}

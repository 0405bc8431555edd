// Xapian as a side of the search benchmark: boolean terms, no positions, no document data. Its documents come
// out in ascending order first, so the newest has the smallest number: number = newest possible - document.

#include "bench/support/search_peer.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <xapian.h>

namespace
{

constexpr int64_t kNewest = 4000000000; // a document of which there is never one
constexpr Xapian::valueno kSubject = 0, kStatus = 1;
constexpr int64_t kFlushed = 50000; // documents added between two flushes

std::unique_ptr<Xapian::WritableDatabase> writer;
std::unique_ptr<Xapian::Database> reader;
std::unique_ptr<Xapian::Enquire> enquire;
std::string place;
int64_t added_count;

Xapian::docid id_of(int64_t document)
{
    return static_cast<Xapian::docid>(kNewest - document);
}

// Runs it; says why it failed.
template <typename Function> bool attempt(const char *what, Function function)
{
    try {
        function();
        return true;
    } catch (const Xapian::Error &error) {
        std::fprintf(stderr, "xapian: %s: %s\n", what, error.get_description().c_str());
        return false;
    }
}

std::string current()
{
    return place + "/xapian";
}

void open_reader()
{
    reader = std::make_unique<Xapian::Database>(current());
    enquire = std::make_unique<Xapian::Enquire>(*reader);
    enquire->set_weighting_scheme(Xapian::BoolWeight());
    enquire->set_docid_order(Xapian::Enquire::ASCENDING);
}

bool open(const char *where, bool fresh)
{
    place = where;
    return attempt("open", [&] {
        if (fresh)
            writer = std::make_unique<Xapian::WritableDatabase>(place + "/loading",
                                                                Xapian::DB_CREATE_OR_OVERWRITE);
        else
            open_reader();
    });
}

Xapian::Document make(const search_peer_case &from)
{
    Xapian::Document document;
    for (const char *at = from.terms; *at;) {
        const char *end = std::strchr(at, ' ');
        if (!end)
            end = at + std::strlen(at);
        document.add_boolean_term(std::string(at, end));
        at = *end ? end + 1 : end;
    }
    // Ties by the case's number, in the key itself: documents are in another order.
    std::string number = Xapian::sortable_serialise(static_cast<double>(from.number));
    document.add_value(kSubject, std::string(from.subject) + '\0' + number);
    document.add_value(kStatus, static_cast<char>('0' + from.status) + number);
    return document;
}

bool add(const search_peer_case *added)
{
    return attempt("add", [&] {
        writer->replace_document(id_of(added->document), make(*added));
        if (++added_count % kFlushed == 0)
            writer->commit();
    });
}

bool finish()
{
    return attempt("finish", [] {
        writer->commit();
        writer->close();
        Xapian::Database(place + "/loading").compact(current(), Xapian::DBCOMPACT_NO_RENUMBER);
        std::filesystem::remove_all(place + "/loading");
        open_reader();
    });
}

void fill(const Xapian::MSet &found, search_peer_answer *answer)
{
    for (auto at = found.begin(); at != found.end(); ++at)
        answer->documents[answer->count++] = kNewest - static_cast<int64_t>(*at);
}

bool query(const search_peer_query *query, search_peer_answer *ret_answer)
{
    ret_answer->count = 0;
    ret_answer->total = 0;
    return attempt("query", [&] {
        if (writer)
            reader->reopen(); // sees what has been committed since
        enquire->set_query(
            Xapian::Query(Xapian::Query::OP_AND, query->terms, query->terms + query->term_count));
        if (query->order == SEARCH_PEER_NEWEST)
            enquire->set_sort_by_relevance();
        else
            enquire->set_sort_by_value(query->order == SEARCH_PEER_SUBJECT ? kSubject : kStatus, false);
        Xapian::doccount whole = query->total ? reader->get_doccount() : 0;
        Xapian::MSet found = enquire->get_mset(static_cast<Xapian::doccount>(query->offset),
                                               static_cast<Xapian::doccount>(query->limit), whole);
        fill(found, ret_answer);
        if (query->total)
            ret_answer->total = found.get_matches_estimated();
    });
}

bool begin()
{
    return attempt("begin", [] {
        if (!writer)
            writer = std::make_unique<Xapian::WritableDatabase>(current(), Xapian::DB_OPEN);
    });
}

bool replace(int64_t document, const search_peer_case *now)
{
    return attempt("replace", [&] {
        if (!now || now->document != document)
            writer->delete_document(id_of(document));
        if (now)
            writer->replace_document(id_of(now->document), make(*now));
    });
}

bool commit()
{
    return attempt("commit", [] { writer->commit(); });
}

int64_t total_bytes()
{
    int64_t sum = 0;
    for (const auto &file : std::filesystem::directory_iterator(current()))
        sum += static_cast<int64_t>(file.file_size());
    return sum;
}

int64_t index_bytes()
{
    return static_cast<int64_t>(std::filesystem::file_size(current() + "/postlist.glass"));
}

void close()
{
    enquire.reset();
    reader.reset();
    writer.reset();
}

} // namespace

int main(int argc, char **argv)
{
    search_peer peer = {};
    peer.name = "xapian";
    peer.add_newest_first = true;
    peer.open = open;
    peer.add = add;
    peer.finish = finish;
    peer.query = query;
    peer.begin = begin;
    peer.replace = replace;
    peer.commit = commit;
    peer.index_bytes = index_bytes;
    peer.total_bytes = total_bytes;
    peer.close = close;
    return search_driver_main(&peer, argc, argv);
}

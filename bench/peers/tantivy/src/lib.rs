//! Tantivy as a side of the search benchmark, for bench/peers/search_peer_tantivy.c: terms without frequencies and
//! positions, one segment once it is built. Documents come in any order within a segment; the newest are selected by a
//! column.

use std::ffi::{c_char, CStr};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use tantivy::collector::{Count, TopDocs};
use tantivy::indexer::NoMergePolicy;
use tantivy::query::{BooleanQuery, EnableScoring, Occur, Query, TermQuery};
use tantivy::schema::{
    Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions, FAST, INDEXED,
};
use tantivy::{
    DocAddress, Index, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, TantivyDocument, Term,
    TERMINATED,
};

struct Fields {
    document: Field,
    number: Field,
    status: Field,
    subject: Field,
    terms: Field,
}

struct Peer {
    index: Index,
    reader: IndexReader,
    fields: Fields,
}

type Failure = Box<dyn std::error::Error>;

static PEER: OnceLock<Peer> = OnceLock::new();
static WRITER: Mutex<Option<IndexWriter>> = Mutex::new(None);
static FRESH: Mutex<bool> = Mutex::new(false);

const HEAP: usize = 256 << 20;

fn schema() -> Schema {
    let mut builder = Schema::builder();
    let words = TextFieldIndexing::default()
        .set_tokenizer("whitespace")
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    builder.add_u64_field("document", INDEXED | FAST);
    builder.add_u64_field("number", FAST);
    builder.add_u64_field("status", FAST);
    builder.add_text_field("subject", TextOptions::default().set_fast("raw"));
    builder.add_text_field("terms", TextOptions::default().set_indexing_options(words));
    builder.build()
}

fn open(place: &str, fresh: bool) -> Result<(), Failure> {
    let index = if fresh {
        Index::create_in_dir(Path::new(place), schema())?
    } else {
        Index::open_in_dir(Path::new(place))?
    };
    let schema = index.schema();
    let fields = Fields {
        document: schema.get_field("document")?,
        number: schema.get_field("number")?,
        status: schema.get_field("status")?,
        subject: schema.get_field("subject")?,
        terms: schema.get_field("terms")?,
    };
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    *FRESH.lock().unwrap() = fresh;
    PEER.set(Peer { index, reader, fields }).map_err(|_| "opened twice")?;
    Ok(())
}

fn with_writer<R>(run: impl FnOnce(&mut IndexWriter) -> Result<R, Failure>) -> Result<R, Failure> {
    let mut writer = WRITER.lock().unwrap();
    if writer.is_none() {
        let opened: IndexWriter = peer().index.writer_with_num_threads(1, HEAP)?;
        if *FRESH.lock().unwrap() {
            opened.set_merge_policy(Box::new(NoMergePolicy));
        }
        *writer = Some(opened);
    }
    run(writer.as_mut().unwrap())
}

fn peer() -> &'static Peer {
    PEER.get().expect("open comes first")
}

fn add(document: u64, number: u64, status: u64, subject: &str, terms: &str) -> Result<(), Failure> {
    let fields = &peer().fields;
    let mut added = TantivyDocument::default();
    added.add_u64(fields.document, document);
    added.add_u64(fields.number, number);
    added.add_u64(fields.status, status);
    added.add_text(fields.subject, subject);
    added.add_text(fields.terms, terms);
    with_writer(|writer| Ok(writer.add_document(added).map(|_| ())?))
}

fn remove(document: u64) -> Result<(), Failure> {
    with_writer(|writer| {
        writer.delete_term(Term::from_field_u64(peer().fields.document, document));
        Ok(())
    })
}

fn commit() -> Result<(), Failure> {
    with_writer(|writer| Ok(writer.commit().map(|_| ())?))?;
    Ok(peer().reader.reload()?)
}

/// All segments into one.
fn finish() -> Result<(), Failure> {
    commit()?;
    let segments = peer().index.searchable_segment_ids()?;
    if segments.len() > 1 {
        with_writer(|writer| Ok(writer.merge(&segments).wait().map(|_| ())?))?;
    }
    with_writer(|writer| Ok(writer.garbage_collect_files().wait().map(|_| ())?))?;
    commit()
}

fn query_of(terms: &[&str]) -> Box<dyn Query> {
    let field = peer().fields.terms;
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = terms
        .iter()
        .map(|term| {
            let term = Term::from_field_text(field, term);
            let query: Box<dyn Query> = Box::new(TermQuery::new(term, IndexRecordOption::Basic));
            (Occur::Must, query)
        })
        .collect();
    if clauses.len() == 1 {
        return clauses.pop().unwrap().1;
    }
    Box::new(BooleanQuery::new(clauses))
}

fn newest(searcher: &Searcher, query: &dyn Query, limit: usize, offset: usize) -> Result<Vec<u64>, Failure> {
    let top = TopDocs::with_limit(limit).and_offset(offset);
    let found: Vec<(Option<u64>, DocAddress)> =
        searcher.search(query, &top.order_by_fast_field::<u64>("document", Order::Desc))?;
    Ok(found.into_iter().map(|(document, _)| document.unwrap_or(0)).collect())
}

/// The first of each segment by the column's own order, merged by what it stands for.
fn by_column(
    searcher: &Searcher,
    query: &dyn Query,
    limit: usize,
    by_subject: bool,
) -> Result<Vec<u64>, Failure> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut merged: Vec<(String, u64, u64)> = Vec::new();
    for segment in searcher.segment_readers() {
        let columns = segment.fast_fields();
        let (documents, numbers, statuses) =
            (columns.u64("document")?, columns.u64("number")?, columns.u64("status")?);
        let subjects = columns.str("subject")?.ok_or("no subjects")?;
        let alive = segment.alive_bitset();
        let mut found: Vec<(u64, u64, u32)> = Vec::new();
        let mut scorer = weight.scorer(segment, 1.0)?;
        let mut at = scorer.doc();
        while at != TERMINATED {
            if alive.map_or(true, |bits| bits.is_alive(at)) {
                let key = if by_subject {
                    subjects.ords().first(at).unwrap_or(0)
                } else {
                    statuses.first(at).unwrap_or(0)
                };
                found.push((key, numbers.first(at).unwrap_or(0), at));
            }
            at = scorer.advance();
        }
        if found.len() > limit {
            found.select_nth_unstable(limit);
            found.truncate(limit);
        }
        for (key, number, at) in found {
            let mut text = String::new();
            if by_subject {
                subjects.ord_to_str(key, &mut text)?;
            } else {
                text = format!("{key:04}");
            }
            merged.push((text, number, documents.first(at).unwrap_or(0)));
        }
    }
    merged.sort_unstable();
    Ok(merged.into_iter().take(limit).map(|(_, _, document)| document).collect())
}

fn ask(terms: &[&str], order: u32, limit: usize, offset: usize) -> Result<Vec<u64>, Failure> {
    let searcher = peer().reader.searcher();
    let query = query_of(terms);
    if order == 0 {
        newest(&searcher, &*query, limit, offset)
    } else {
        by_column(&searcher, &*query, limit, order == 1)
    }
}

fn total(terms: &[&str]) -> Result<u64, Failure> {
    let searcher = peer().reader.searcher();
    Ok(searcher.search(&*query_of(terms), &Count)? as u64)
}

// --- for C: the header is bench/peers/search_peer_tantivy.c ---

fn told<R>(what: &str, result: Result<R, Failure>) -> Option<R> {
    result.map_err(|failure| eprintln!("tantivy: {what}: {failure}")).ok()
}

unsafe fn text<'a>(text: *const c_char) -> &'a str {
    CStr::from_ptr(text).to_str().unwrap_or("")
}

unsafe fn texts<'a>(terms: *const *const c_char, count: usize) -> Vec<&'a str> {
    std::slice::from_raw_parts(terms, count).iter().map(|term| text(*term)).collect()
}

#[no_mangle]
pub unsafe extern "C" fn tantivy_open(place: *const c_char, fresh: bool) -> bool {
    told("open", open(text(place), fresh)).is_some()
}

#[no_mangle]
pub unsafe extern "C" fn tantivy_add(
    document: u64,
    number: u64,
    status: u64,
    subject: *const c_char,
    terms: *const c_char,
) -> bool {
    told("add", add(document, number, status, text(subject), text(terms))).is_some()
}

#[no_mangle]
pub extern "C" fn tantivy_remove(document: u64) -> bool {
    told("remove", remove(document)).is_some()
}

#[no_mangle]
pub extern "C" fn tantivy_commit() -> bool {
    told("commit", commit()).is_some()
}

#[no_mangle]
pub extern "C" fn tantivy_finish() -> bool {
    told("finish", finish()).is_some()
}

#[no_mangle]
pub unsafe extern "C" fn tantivy_page(
    terms: *const *const c_char,
    count: usize,
    order: u32,
    limit: usize,
    offset: usize,
    ret_documents: *mut i64,
    ret_count: *mut usize,
) -> bool {
    let Some(found) = told("query", ask(&texts(terms, count), order, limit, offset)) else {
        return false;
    };
    for (i, document) in found.iter().enumerate() {
        *ret_documents.add(i) = *document as i64;
    }
    *ret_count = found.len();
    true
}

#[no_mangle]
pub unsafe extern "C" fn tantivy_total(terms: *const *const c_char, count: usize, ret_total: *mut u64) -> bool {
    let Some(found) = told("count", total(&texts(terms, count))) else {
        return false;
    };
    *ret_total = found;
    true
}

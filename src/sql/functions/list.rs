//! The table of scalar and set-returning functions.

use super::{
    Implementation::{self, DataFusion, Distance, Own},
    arithmetic, array, bit, bytes, carried, datetime, embed, json, numbers, sparsevec, text,
    to_char, vector_functions as vector,
};
use crate::vector::{Metric, Space};
use datafusion::functions::{crypto, math, string, unicode};
use half::f16;

/// Each function as PostgreSQL's `\df` shows it, and what carries it out. Of several that fit
/// alike the first is taken.
pub(super) const FUNCTIONS: &[(&str, Implementation)] = &[
    // Vectors.
    ("l2_distance(vector, vector) -> double precision", Distance(Space::Vector, Metric::L2)),
    ("l2_distance(halfvec, halfvec) -> double precision", Distance(Space::Halfvec, Metric::L2)),
    (
        "l2_distance(sparsevec, sparsevec) -> double precision",
        Distance(Space::Sparsevec, Metric::L2),
    ),
    (
        "cosine_distance(vector, vector) -> double precision",
        Distance(Space::Vector, Metric::Cosine),
    ),
    (
        "cosine_distance(halfvec, halfvec) -> double precision",
        Distance(Space::Halfvec, Metric::Cosine),
    ),
    (
        "cosine_distance(sparsevec, sparsevec) -> double precision",
        Distance(Space::Sparsevec, Metric::Cosine),
    ),
    ("l1_distance(vector, vector) -> double precision", Distance(Space::Vector, Metric::L1)),
    ("l1_distance(halfvec, halfvec) -> double precision", Distance(Space::Halfvec, Metric::L1)),
    (
        "l1_distance(sparsevec, sparsevec) -> double precision",
        Distance(Space::Sparsevec, Metric::L1),
    ),
    (
        "vector_negative_inner_product(vector, vector) -> double precision",
        Distance(Space::Vector, Metric::InnerProduct),
    ),
    (
        "halfvec_negative_inner_product(halfvec, halfvec) -> double precision",
        Distance(Space::Halfvec, Metric::InnerProduct),
    ),
    (
        "sparsevec_negative_inner_product(sparsevec, sparsevec) -> double precision",
        Distance(Space::Sparsevec, Metric::InnerProduct),
    ),
    ("hamming_distance(bit, bit) -> double precision", Distance(Space::Bit, Metric::Hamming)),
    ("jaccard_distance(bit, bit) -> double precision", Distance(Space::Bit, Metric::Jaccard)),
    ("inner_product(vector, vector) -> double precision", Own(vector::inner_product::<f32>)),
    ("inner_product(halfvec, halfvec) -> double precision", Own(vector::inner_product::<f16>)),
    ("inner_product(sparsevec, sparsevec) -> double precision", Own(sparsevec::inner_product)),
    (
        "vector_l2_squared_distance(vector, vector) -> double precision",
        Own(vector::l2_squared::<f32>),
    ),
    (
        "halfvec_l2_squared_distance(halfvec, halfvec) -> double precision",
        Own(vector::l2_squared::<f16>),
    ),
    (
        "sparsevec_l2_squared_distance(sparsevec, sparsevec) -> double precision",
        Own(sparsevec::l2_squared),
    ),
    (
        "vector_spherical_distance(vector, vector) -> double precision",
        Own(vector::spherical::<f32>),
    ),
    (
        "halfvec_spherical_distance(halfvec, halfvec) -> double precision",
        Own(vector::spherical::<f16>),
    ),
    ("vector_dims(vector) -> integer", Own(vector::dims::<f32>)),
    ("vector_dims(halfvec) -> integer", Own(vector::dims::<f16>)),
    ("vector_norm(vector) -> double precision", Own(vector::norm::<f32>)),
    ("l2_norm(halfvec) -> double precision", Own(vector::norm::<f16>)),
    ("l2_norm(sparsevec) -> double precision", Own(sparsevec::l2_norm)),
    ("l2_normalize(vector) -> vector", Own(vector::normalize::<f32>)),
    ("l2_normalize(halfvec) -> halfvec", Own(vector::normalize::<f16>)),
    ("l2_normalize(sparsevec) -> sparsevec", Own(sparsevec::normalize)),
    ("subvector(vector, integer, integer) -> vector", Own(vector::subvector::<f32>)),
    ("subvector(halfvec, integer, integer) -> halfvec", Own(vector::subvector::<f16>)),
    ("binary_quantize(vector) -> bit", Own(vector::binary_quantize::<f32>)),
    ("binary_quantize(halfvec) -> bit", Own(vector::binary_quantize::<f16>)),
    ("vector_add(vector, vector) -> vector", Own(vector::add::<f32>)),
    ("halfvec_add(halfvec, halfvec) -> halfvec", Own(vector::add::<f16>)),
    ("vector_sub(vector, vector) -> vector", Own(vector::subtract::<f32>)),
    ("halfvec_sub(halfvec, halfvec) -> halfvec", Own(vector::subtract::<f16>)),
    ("vector_mul(vector, vector) -> vector", Own(vector::multiply::<f32>)),
    ("halfvec_mul(halfvec, halfvec) -> halfvec", Own(vector::multiply::<f16>)),
    ("vector_concat(vector, vector) -> vector", Own(vector::concat::<f32>)),
    ("halfvec_concat(halfvec, halfvec) -> halfvec", Own(vector::concat::<f16>)),
    ("vector_eq(vector, vector) -> boolean", Own(vector::equal::<f32>)),
    ("halfvec_eq(halfvec, halfvec) -> boolean", Own(vector::equal::<f16>)),
    ("vector_ne(vector, vector) -> boolean", Own(vector::not_equal::<f32>)),
    ("halfvec_ne(halfvec, halfvec) -> boolean", Own(vector::not_equal::<f16>)),
    ("vector_lt(vector, vector) -> boolean", Own(vector::less::<f32>)),
    ("halfvec_lt(halfvec, halfvec) -> boolean", Own(vector::less::<f16>)),
    ("vector_le(vector, vector) -> boolean", Own(vector::less_or_equal::<f32>)),
    ("halfvec_le(halfvec, halfvec) -> boolean", Own(vector::less_or_equal::<f16>)),
    ("vector_gt(vector, vector) -> boolean", Own(vector::greater::<f32>)),
    ("halfvec_gt(halfvec, halfvec) -> boolean", Own(vector::greater::<f16>)),
    ("vector_ge(vector, vector) -> boolean", Own(vector::greater_or_equal::<f32>)),
    ("halfvec_ge(halfvec, halfvec) -> boolean", Own(vector::greater_or_equal::<f16>)),
    ("vector_cmp(vector, vector) -> integer", Own(vector::compare::<f32>)),
    ("halfvec_cmp(halfvec, halfvec) -> integer", Own(vector::compare::<f16>)),
    // Models. What they give is the same for as long as the model is; the optimiser is not to ask
    // them, and so is told less.
    ("embed(text, text) -> vector stable", Own(embed::embed)),
    ("embed(text[], text) -> vector[] stable", Own(embed::embed_each)),
    ("rerank(text, text, text) -> double precision stable", Own(embed::rerank)),
    // Bit strings, and sparse vectors in so far as they are compared.
    ("sparsevec_cmp(sparsevec, sparsevec) -> integer", Own(carried::compare)),
    ("sparsevec_eq(sparsevec, sparsevec) -> boolean", Own(carried::equal)),
    ("sparsevec_ne(sparsevec, sparsevec) -> boolean", Own(carried::not_equal)),
    ("sparsevec_lt(sparsevec, sparsevec) -> boolean", Own(carried::less)),
    ("sparsevec_le(sparsevec, sparsevec) -> boolean", Own(carried::less_or_equal)),
    ("sparsevec_gt(sparsevec, sparsevec) -> boolean", Own(carried::greater)),
    ("sparsevec_ge(sparsevec, sparsevec) -> boolean", Own(carried::greater_or_equal)),
    ("biteq(bit, bit) -> boolean", Own(carried::equal)),
    ("bitne(bit, bit) -> boolean", Own(carried::not_equal)),
    ("bitlt(bit, bit) -> boolean", Own(carried::less)),
    ("bitle(bit, bit) -> boolean", Own(carried::less_or_equal)),
    ("bitgt(bit, bit) -> boolean", Own(carried::greater)),
    ("bitge(bit, bit) -> boolean", Own(carried::greater_or_equal)),
    ("varbiteq(bit varying, bit varying) -> boolean", Own(carried::equal)),
    ("varbitne(bit varying, bit varying) -> boolean", Own(carried::not_equal)),
    ("varbitlt(bit varying, bit varying) -> boolean", Own(carried::less)),
    ("varbitle(bit varying, bit varying) -> boolean", Own(carried::less_or_equal)),
    ("varbitgt(bit varying, bit varying) -> boolean", Own(carried::greater)),
    ("varbitge(bit varying, bit varying) -> boolean", Own(carried::greater_or_equal)),
    ("length(bit) -> integer", Own(bit::length)),
    ("bit_length(bit) -> integer", Own(bit::length)),
    ("bit_length(text) -> integer", Own(bit::length_of_text)),
    ("bit_length(bytea) -> integer", Own(bit::length_of_text)),
    ("octet_length(bit) -> integer", Own(bit::octet_length)),
    ("bit_count(bit) -> bigint", Own(bit::count)),
    ("bit_count(bytea) -> bigint", Own(bit::count_of_bytes)),
    ("get_bit(bit, integer) -> integer", Own(bit::get)),
    ("get_bit(bytea, bigint) -> integer", Own(bit::get_of_bytes)),
    ("set_bit(bit, integer, integer) -> bit", Own(bit::set)),
    ("set_bit(bytea, bigint, integer) -> bytea", Own(bit::set_of_bytes)),
    ("substring(bit, integer, [integer]) -> bit", Own(bit::substring)),
    ("overlay(bit, bit, integer, [integer]) -> bit", Own(bit::overlay)),
    ("position(bit, bit) -> integer", Own(bit::position)),
    ("bitand(bit, bit) -> bit", Own(bit::and)),
    ("bitor(bit, bit) -> bit", Own(bit::or)),
    ("bitxor(bit, bit) -> bit", Own(bit::xor)),
    ("bitnot(bit) -> bit", Own(bit::not)),
    ("bitshiftleft(bit, integer) -> bit", Own(bit::shift_left)),
    ("bitshiftright(bit, integer) -> bit", Own(bit::shift_right)),
    ("bitcat(bit varying, bit varying) -> bit varying", Own(bit::concat)),
    // Text.
    ("lower(text) -> text", DataFusion(string::lower)),
    ("upper(text) -> text", DataFusion(string::upper)),
    ("initcap(text) -> text", DataFusion(unicode::initcap)),
    ("length(text) -> integer", Own(text::char_length)),
    ("length(bytea) -> integer", Own(text::byte_length)),
    ("char_length(text) -> integer", Own(text::char_length)),
    ("character_length(text) -> integer", Own(text::char_length)),
    ("octet_length(text) -> integer", Own(text::octet_length)),
    ("octet_length(bytea) -> integer", Own(text::byte_length)),
    ("bit_length(text) -> integer", Own(text::bit_length)),
    ("bit_length(bytea) -> integer", Own(text::bit_length)),
    ("btrim(text, [text]) -> text", DataFusion(string::btrim)),
    ("ltrim(text, [text]) -> text", DataFusion(string::ltrim)),
    ("rtrim(text, [text]) -> text", DataFusion(string::rtrim)),
    ("lpad(text, integer, [text]) -> text", DataFusion(unicode::lpad)),
    ("rpad(text, integer, [text]) -> text", DataFusion(unicode::rpad)),
    ("left(text, integer) -> text", Own(text::left)),
    ("right(text, integer) -> text", Own(text::right)),
    ("repeat(text, integer) -> text", Own(text::repeat)),
    ("replace(text, text, text) -> text", DataFusion(string::replace)),
    ("translate(text, text, text) -> text", DataFusion(unicode::translate)),
    ("reverse(text) -> text", Own(text::reverse)),
    ("strpos(text, text) -> integer", Own(text::strpos)),
    ("position(text, text) -> integer", Own(text::strpos)),
    ("substring(text, integer, [integer]) -> text", Own(text::substring)),
    ("substring(text, text) -> text", Own(text::pattern::regexp_substring)),
    ("substr(text, integer, [integer]) -> text", Own(text::substring)),
    ("overlay(text, text, integer, [integer]) -> text", Own(text::overlay)),
    ("split_part(text, text, integer) -> text", Own(text::split_part)),
    ("starts_with(text, text) -> boolean", DataFusion(string::starts_with)),
    ("ascii(text) -> integer", DataFusion(string::ascii)),
    ("chr(integer) -> text", Own(text::chr)),
    ("concat(variadic any) -> text stable", Own(text::concat)),
    ("concat_ws(text, variadic any) -> text stable", Own(text::concat_ws)),
    ("format(text, variadic any) -> text stable", Own(text::format)),
    ("md5(text) -> text", DataFusion(crypto::md5)),
    ("to_hex(integer) -> text", Own(text::to_hex)),
    ("to_hex(bigint) -> text", Own(text::to_hex)),
    ("to_oct(integer) -> text", Own(text::to_oct)),
    ("to_oct(bigint) -> text", Own(text::to_oct)),
    ("to_bin(integer) -> text", Own(text::to_bin)),
    ("to_bin(bigint) -> text", Own(text::to_bin)),
    // Bytes.
    ("md5(bytea) -> text", DataFusion(crypto::md5)),
    ("sha224(bytea) -> bytea", Own(bytes::sha224)),
    ("sha256(bytea) -> bytea", Own(bytes::sha256)),
    ("sha384(bytea) -> bytea", Own(bytes::sha384)),
    ("sha512(bytea) -> bytea", Own(bytes::sha512)),
    ("crc32c(bytea) -> bigint", Own(bytes::crc32c)),
    ("substring(bytea, integer, [integer]) -> bytea", Own(bytes::substring)),
    ("substr(bytea, integer, [integer]) -> bytea", Own(bytes::substring)),
    ("overlay(bytea, bytea, integer, [integer]) -> bytea", Own(bytes::overlay)),
    ("position(bytea, bytea) -> integer", Own(bytes::position)),
    ("get_byte(bytea, integer) -> integer", Own(bytes::get_byte)),
    ("set_byte(bytea, integer, integer) -> bytea", Own(bytes::set_byte)),
    ("btrim(bytea, bytea) -> bytea", Own(bytes::btrim)),
    ("ltrim(bytea, bytea) -> bytea", Own(bytes::ltrim)),
    ("rtrim(bytea, bytea) -> bytea", Own(bytes::rtrim)),
    ("reverse(bytea) -> bytea", Own(bytes::reverse)),
    ("convert_from(bytea, text) -> text", Own(bytes::convert_from)),
    ("convert_to(text, text) -> bytea", Own(bytes::convert_to)),
    ("encode(bytea, text) -> text", Own(text::encode)),
    ("decode(text, text) -> bytea", Own(text::decode)),
    ("regexp_replace(text, text, text, [text]) -> text", Own(text::pattern::regexp_replace)),
    ("regexp_match(text, text, [text]) -> text[]", Own(text::pattern::regexp_match)),
    ("regexp_split_to_array(text, text, [text]) -> text[]", Own(text::pattern::regexp_split)),
    ("regexp_split_to_table(text, text, [text]) -> setof text", Own(text::pattern::regexp_split)),
    (
        "regexp_replace(text, text, text, integer, [integer], [text]) -> text",
        Own(text::regexp::replace_from),
    ),
    ("regexp_matches(text, text, [text]) -> setof text[]", Own(text::regexp::all)),
    ("regexp_like(text, text, [text]) -> boolean", Own(text::regexp::like)),
    ("regexp_count(text, text, [integer], [text]) -> integer", Own(text::regexp::count)),
    (
        "regexp_instr(text, text, [integer], [integer], [integer], [text], [integer]) -> integer",
        Own(text::regexp::instr),
    ),
    (
        "regexp_substr(text, text, [integer], [integer], [text], [integer]) -> text",
        Own(text::regexp::substr),
    ),
    ("unistr(text) -> text", Own(text::unistr)),
    ("pg_typeof(any) -> regtype", Own(text::type_of)),
    ("num_nulls(variadic any) -> integer", Own(text::num_nulls)),
    ("num_nonnulls(variadic any) -> integer", Own(text::num_nonnulls)),
    // Numbers.
    ("abs(smallint) -> smallint", Own(arithmetic::abs)),
    ("abs(integer) -> integer", Own(arithmetic::abs)),
    ("abs(bigint) -> bigint", Own(arithmetic::abs)),
    ("abs(numeric) -> same", Own(arithmetic::abs)),
    ("abs(real) -> real", Own(arithmetic::abs)),
    ("abs(double precision) -> double precision", Own(arithmetic::abs)),
    ("sign(numeric) -> same", Own(arithmetic::sign)),
    ("sign(double precision) -> double precision", Own(arithmetic::sign)),
    ("ceil(numeric) -> numeric(38,0)", Own(arithmetic::ceil)),
    ("ceil(double precision) -> double precision", DataFusion(math::ceil)),
    ("ceiling(numeric) -> numeric(38,0)", Own(arithmetic::ceil)),
    ("ceiling(double precision) -> double precision", DataFusion(math::ceil)),
    ("floor(numeric) -> numeric(38,0)", Own(arithmetic::floor)),
    ("floor(double precision) -> double precision", DataFusion(math::floor)),
    ("round(double precision) -> double precision", Own(arithmetic::round_float)),
    ("round(numeric) -> numeric(38,0)", Own(arithmetic::round)),
    ("round(numeric, integer) -> same", Own(arithmetic::round)),
    ("trunc(double precision) -> double precision", DataFusion(math::trunc)),
    ("trunc(numeric) -> numeric(38,0)", Own(arithmetic::truncate)),
    ("trunc(numeric, integer) -> same", Own(arithmetic::truncate)),
    ("mod(integer, integer) -> integer", Own(modulo)),
    ("mod(bigint, bigint) -> bigint", Own(modulo)),
    ("mod(numeric, numeric) -> numeric", Own(arithmetic::modulo)),
    ("div(numeric, numeric) -> numeric(38,0)", Own(arithmetic::whole_quotient)),
    ("gcd(integer, integer) -> integer", Own(gcd)),
    ("gcd(bigint, bigint) -> bigint", Own(arithmetic::gcd)),
    ("lcm(integer, integer) -> integer", Own(numbers::lcm)),
    ("lcm(bigint, bigint) -> bigint", Own(numbers::lcm)),
    ("factorial(bigint) -> numeric(38,0)", Own(numbers::factorial)),
    ("scale(numeric) -> integer", Own(numbers::scale)),
    ("min_scale(numeric) -> integer", Own(numbers::min_scale)),
    ("trim_scale(numeric) -> numeric", Own(numbers::trim_scale)),
    ("sqrt(double precision) -> double precision", Own(arithmetic::sqrt)),
    ("cbrt(double precision) -> double precision", DataFusion(math::cbrt)),
    ("power(double precision, double precision) -> double precision", Own(arithmetic::power)),
    ("pow(double precision, double precision) -> double precision", Own(arithmetic::power)),
    ("exp(double precision) -> double precision", Own(arithmetic::exp)),
    ("ln(double precision) -> double precision", Own(arithmetic::ln)),
    ("log(double precision) -> double precision", Own(arithmetic::log10)),
    ("log(numeric, numeric) -> numeric", Own(numbers::log)),
    ("log10(double precision) -> double precision", Own(arithmetic::log10)),
    ("sinh(double precision) -> double precision", Own(numbers::sinh)),
    ("cosh(double precision) -> double precision", Own(numbers::cosh)),
    ("tanh(double precision) -> double precision", Own(numbers::tanh)),
    ("asinh(double precision) -> double precision", Own(numbers::asinh)),
    ("acosh(double precision) -> double precision", Own(numbers::acosh)),
    ("atanh(double precision) -> double precision", Own(numbers::atanh)),
    ("cot(double precision) -> double precision", Own(numbers::cot)),
    ("sind(double precision) -> double precision", Own(numbers::sind)),
    ("cosd(double precision) -> double precision", Own(numbers::cosd)),
    ("tand(double precision) -> double precision", Own(numbers::tand)),
    ("cotd(double precision) -> double precision", Own(numbers::cotd)),
    ("asind(double precision) -> double precision", Own(numbers::asind)),
    ("acosd(double precision) -> double precision", Own(numbers::acosd)),
    ("atand(double precision) -> double precision", Own(numbers::atand)),
    ("atan2d(double precision, double precision) -> double precision", Own(numbers::atan2d)),
    ("sin(double precision) -> double precision", DataFusion(math::sin)),
    ("cos(double precision) -> double precision", DataFusion(math::cos)),
    ("tan(double precision) -> double precision", DataFusion(math::tan)),
    ("asin(double precision) -> double precision", DataFusion(math::asin)),
    ("acos(double precision) -> double precision", DataFusion(math::acos)),
    ("atan(double precision) -> double precision", DataFusion(math::atan)),
    ("atan2(double precision, double precision) -> double precision", DataFusion(math::atan2)),
    ("degrees(double precision) -> double precision", DataFusion(math::degrees)),
    ("radians(double precision) -> double precision", DataFusion(math::radians)),
    ("pi() -> double precision", DataFusion(math::pi)),
    ("random() -> double precision volatile", Own(random)),
    ("random(integer, integer) -> integer volatile", Own(random_between)),
    ("random(bigint, bigint) -> bigint volatile", Own(random_between)),
    (
        "width_bucket(double precision, double precision, double precision, integer) -> integer",
        Own(arithmetic::width_bucket),
    ),
    ("bitnot(smallint) -> smallint", Own(arithmetic::bitnot)),
    ("bitnot(integer) -> integer", Own(arithmetic::bitnot)),
    ("bitnot(bigint) -> bigint", Own(arithmetic::bitnot)),
    // Dates and times.
    ("now() -> timestamptz stable", Own(datetime::now)),
    ("current_timestamp([integer]) -> timestamptz stable", Own(datetime::now)),
    ("current_date() -> date stable", Own(datetime::now)),
    ("current_time([integer]) -> time stable", Own(datetime::now)),
    ("localtime([integer]) -> time stable", Own(datetime::now)),
    ("localtimestamp([integer]) -> timestamp stable", Own(datetime::now)),
    ("timeofday() -> text volatile", Own(datetime::time_of_day)),
    ("timezone(text, timestamptz) -> timestamp", Own(datetime::timezone)),
    ("timezone(text, timestamp) -> timestamptz", Own(datetime::timezone)),
    ("extract(text, timestamptz) -> numeric(38,6) stable", Own(datetime::parts::extract)),
    ("extract(text, timestamp) -> numeric(38,6)", Own(datetime::parts::extract)),
    ("extract(text, date) -> numeric(38,0)", Own(datetime::parts::extract)),
    ("extract(text, time) -> numeric(38,6)", Own(datetime::parts::extract)),
    ("extract(text, interval) -> numeric(38,6)", Own(datetime::parts::extract)),
    ("date_part(text, timestamptz) -> double precision stable", Own(datetime::parts::date_part)),
    ("date_part(text, timestamp) -> double precision", Own(datetime::parts::date_part)),
    ("date_part(text, date) -> double precision", Own(datetime::parts::date_part)),
    ("date_part(text, time) -> double precision", Own(datetime::parts::date_part)),
    ("date_part(text, interval) -> double precision", Own(datetime::parts::date_part)),
    (
        "date_trunc(text, timestamptz, [text]) -> timestamptz stable",
        Own(datetime::parts::date_trunc),
    ),
    ("date_trunc(text, timestamp) -> timestamp", Own(datetime::parts::date_trunc)),
    ("date_trunc(text, interval) -> interval", Own(datetime::parts::date_trunc)),
    ("age(timestamptz, [timestamptz]) -> interval stable", Own(datetime::parts::age)),
    ("age(timestamp, [timestamp]) -> interval stable", Own(datetime::parts::age)),
    ("make_date(integer, integer, integer) -> date", Own(datetime::make_date)),
    ("make_time(integer, integer, double precision) -> time", Own(datetime::make::time)),
    (
        "make_timestamp(integer, integer, integer, integer, integer, double precision) -> timestamp",
        Own(datetime::make::timestamp),
    ),
    (
        "make_timestamptz(integer, integer, integer, integer, integer, double precision, [text]) \
         -> timestamptz stable",
        Own(datetime::make::timestamptz),
    ),
    (
        "make_interval([integer], [integer], [integer], [integer], [integer], [integer], \
         [double precision]) -> interval",
        Own(datetime::make::interval),
    ),
    ("date_bin(interval, timestamp, timestamp) -> timestamp", Own(datetime::make::bin)),
    ("date_bin(interval, timestamptz, timestamptz) -> timestamptz", Own(datetime::make::bin)),
    (
        "date_add(timestamptz, interval, [text]) -> timestamptz stable",
        Own(datetime::make::date_add),
    ),
    (
        "date_subtract(timestamptz, interval, [text]) -> timestamptz stable",
        Own(datetime::make::date_subtract),
    ),
    ("overlaps(time, time, time, time) -> boolean", Own(datetime::make::overlaps)),
    (
        "overlaps(timestamp, timestamp, timestamp, timestamp) -> boolean",
        Own(datetime::make::overlaps),
    ),
    (
        "overlaps(timestamptz, timestamptz, timestamptz, timestamptz) -> boolean",
        Own(datetime::make::overlaps),
    ),
    ("to_timestamp(double precision) -> timestamptz", Own(datetime::to_timestamp)),
    ("to_timestamp(text, text) -> timestamptz stable", Own(to_char::parse)),
    ("to_date(text, text) -> date", Own(to_char::parse)),
    ("to_char(timestamptz, text) -> text stable", Own(to_char::time)),
    ("to_char(timestamp, text) -> text", Own(to_char::time)),
    ("to_char(bigint, text) -> text", Own(to_char::number)),
    ("to_char(numeric, text) -> text", Own(to_char::number)),
    ("to_char(double precision, text) -> text", Own(to_char::number)),
    ("justify_days(interval) -> interval", Own(datetime::make::justify_days)),
    ("justify_hours(interval) -> interval", Own(datetime::make::justify_hours)),
    ("justify_interval(interval) -> interval", Own(datetime::make::justify_interval)),
    ("isfinite(timestamptz) -> boolean", Own(datetime::is_finite)),
    ("isfinite(timestamp) -> boolean", Own(datetime::is_finite)),
    ("isfinite(date) -> boolean", Own(datetime::is_finite)),
    ("pg_sleep(double precision) -> void volatile", Own(datetime::sleep)),
    (
        "generate_series(timestamptz, timestamptz, interval) -> setof timestamptz stable",
        Own(datetime::series),
    ),
    ("generate_series(timestamp, timestamp, interval) -> setof timestamp", Own(datetime::series)),
    // Arrays.
    ("array_fill(anyelement, integer[], [integer[]]) -> anyarray", Own(array::reshape::fill)),
    ("trim_array(anyarray, integer) -> anyarray", Own(array::reshape::trim)),
    ("array_reverse(anyarray) -> anyarray", Own(array::reshape::reverse)),
    ("array_sort(anyarray, [boolean], [boolean]) -> anyarray", Own(array::reshape::sort)),
    ("array_shuffle(anyarray) -> anyarray volatile", Own(array::reshape::shuffle)),
    ("array_sample(anyarray, integer) -> anyarray volatile", Own(array::reshape::sample)),
    ("array_dims(anyarray) -> text", Own(array::reshape::dims)),
    ("generate_series(integer, integer, [integer]) -> setof integer", Own(array::series)),
    ("generate_series(bigint, bigint, [bigint]) -> setof bigint", Own(array::series)),
    ("generate_series(numeric, numeric, [numeric]) -> setof numeric", Own(numbers::series)),
    ("unnest(anyarray) -> setof anyelement", Own(array::unnest)),
    ("array_length(anyarray, integer) -> integer", Own(array::length)),
    ("cardinality(anyarray) -> integer", Own(array::cardinality)),
    ("array_ndims(anyarray) -> integer", Own(array::dimensions)),
    ("array_append(anyarray, anyelement) -> anyarray", Own(array::append)),
    ("array_prepend(anyelement, anyarray) -> anyarray", Own(array::prepend)),
    ("array_cat(anyarray, anyarray) -> anyarray", Own(array::concat)),
    ("array_remove(anyarray, anyelement) -> anyarray", Own(array::remove)),
    ("array_replace(anyarray, anyelement, anyelement) -> anyarray", Own(array::replace)),
    ("array_position(anyarray, anyelement) -> integer", Own(array::position)),
    ("array_positions(anyarray, anyelement) -> integer[]", Own(array::positions)),
    ("array_to_string(anyarray, text, [text]) -> text stable", Own(array::to_string)),
    ("string_to_array(text, text, [text]) -> text[]", Own(array::of_string)),
    ("string_to_table(text, text, [text]) -> setof text", Own(array::of_string)),
    // json.
    ("to_json(anyelement) -> json stable", Own(json::to_json)),
    ("to_jsonb(anyelement) -> jsonb stable", Own(json::to_json)),
    ("array_to_json(anyarray) -> json stable", Own(json::to_json)),
    ("json_build_object(variadic any) -> json stable", Own(json::build_object)),
    ("jsonb_build_object(variadic any) -> jsonb stable", Own(json::build_object)),
    ("json_build_array(variadic any) -> json stable", Own(json::build_array)),
    ("jsonb_build_array(variadic any) -> jsonb stable", Own(json::build_array)),
    ("json_typeof(json) -> text", Own(json::type_name)),
    ("jsonb_typeof(jsonb) -> text", Own(json::type_name)),
    ("json_array_length(json) -> integer", Own(json::array_length)),
    ("jsonb_array_length(jsonb) -> integer", Own(json::array_length)),
    ("json_extract_path(json, variadic text) -> json", Own(json::extract_path)),
    ("jsonb_extract_path(jsonb, variadic text) -> jsonb", Own(json::extract_path)),
    ("json_extract_path_text(json, variadic text) -> text", Own(json::extract_path)),
    ("jsonb_extract_path_text(jsonb, variadic text) -> text", Own(json::extract_path)),
    ("json_array_elements(json) -> setof json", Own(json::array_elements)),
    ("jsonb_array_elements(jsonb) -> setof jsonb", Own(json::array_elements)),
    ("json_array_elements_text(json) -> setof text", Own(json::array_elements_text)),
    ("jsonb_array_elements_text(jsonb) -> setof text", Own(json::array_elements_text)),
    ("json_object_keys(json) -> setof text", Own(json::object_keys)),
    ("jsonb_object_keys(jsonb) -> setof text", Own(json::object_keys)),
    ("json_object_values(json) -> setof json", Own(json::object_values)),
    ("jsonb_object_values(jsonb) -> setof jsonb", Own(json::object_values)),
    ("json_object_values_text(json) -> setof text", Own(json::object_values_text)),
    ("jsonb_object_values_text(jsonb) -> setof text", Own(json::object_values_text)),
    ("json_strip_nulls(json) -> json", Own(json::strip_nulls)),
    ("jsonb_strip_nulls(jsonb) -> jsonb", Own(json::strip_nulls)),
    ("jsonb_pretty(jsonb) -> text", Own(json::pretty)),
    ("jsonb_set(jsonb, text[], jsonb, [boolean]) -> jsonb", Own(json::edit::set)),
    ("jsonb_insert(jsonb, text[], jsonb, [boolean]) -> jsonb", Own(json::edit::insert)),
    ("jsonb_delete(jsonb, text) -> jsonb", Own(json::edit::delete)),
    ("jsonb_delete(jsonb, integer) -> jsonb", Own(json::edit::delete)),
    ("jsonb_delete(jsonb, text[]) -> jsonb", Own(json::edit::delete)),
    ("jsonb_delete_path(jsonb, text[]) -> jsonb", Own(json::edit::delete_path)),
    ("json_object(text[], [text[]]) -> json", Own(json::edit::object)),
    ("jsonb_object(text[], [text[]]) -> jsonb", Own(json::edit::object)),
    ("jsonb_exists(jsonb, text) -> boolean", Own(json::has_key)),
    ("jsonb_exists_any(jsonb, text[]) -> boolean", Own(json::has_any_key)),
    ("jsonb_exists_all(jsonb, text[]) -> boolean", Own(json::has_all_keys)),
    ("jsonb_contained(jsonb, jsonb) -> boolean", Own(json::contained)),
    ("jsonb_concat(jsonb, jsonb) -> jsonb", Own(json::concat)),
    ("jsonb_contains(jsonb, jsonb) -> boolean", Own(json::contains)),
    ("gen_random_uuid() -> uuid volatile", Own(random_uuid)),
    ("uuidv4() -> uuid volatile", Own(random_uuid)),
    ("uuid_generate_v4() -> uuid volatile", Own(random_uuid)),
];

/// Functions that return records: the functions that make each column.
pub(super) const RECORDS: &[(&str, &[(&str, &str)])] = &[
    ("json_each", &[("key", "json_object_keys"), ("value", "json_object_values")]),
    ("jsonb_each", &[("key", "jsonb_object_keys"), ("value", "jsonb_object_values")]),
    ("json_each_text", &[("key", "json_object_keys"), ("value", "json_object_values_text")]),
    ("jsonb_each_text", &[("key", "jsonb_object_keys"), ("value", "jsonb_object_values_text")]),
    ("json_array_elements", &[("value", "json_array_elements")]),
    ("jsonb_array_elements", &[("value", "jsonb_array_elements")]),
    ("json_array_elements_text", &[("value", "json_array_elements_text")]),
    ("jsonb_array_elements_text", &[("value", "jsonb_array_elements_text")]),
];

use super::call::Arguments;
use crate::error::Result;
use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray, Float64Array};
use std::sync::Arc;

/// `random(integer, integer)`
fn random_between(args: &Arguments<'_>) -> Result<ArrayRef> {
    let wide =
        args.arrays.iter().map(|array| Ok(Arc::new(super::cast::integers(array)?) as ArrayRef));
    numbers::random_between(&Arguments { arrays: wide.collect::<Result<_>>()?, ..*args })
}

/// `mod(bigint, bigint)`
fn modulo(args: &Arguments<'_>) -> Result<ArrayRef> {
    arithmetic::operator("%")(args)
}

/// `gcd(integer, integer)`
fn gcd(args: &Arguments<'_>) -> Result<ArrayRef> {
    let wide =
        args.arrays.iter().map(|array| Ok(Arc::new(super::cast::integers(array)?) as ArrayRef));
    let wide = wide.collect::<Result<_>>()?;
    let made = arithmetic::gcd(&Arguments { arrays: wide, ..*args })?;
    arrow::compute::cast(&made, &args.result.arrow()).map_err(crate::sql::error::from_arrow)
}

/// `random()`: 53 random bits.
fn random(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|_| {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let bits = (args.context.random() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    });
    Ok(Arc::new(rows.collect::<Float64Array>()))
}

/// `gen_random_uuid()`
fn random_uuid(args: &Arguments<'_>) -> Result<ArrayRef> {
    let rows = (0..args.rows).map(|_| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&args.context.random().to_le_bytes());
        bytes[8..].copy_from_slice(&args.context.random().to_le_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()
    });
    let bytes: Vec<[u8; 16]> = rows.collect();
    if bytes.is_empty() {
        return Ok(array::nulls(args));
    }
    let made =
        FixedSizeBinaryArray::try_from_iter(bytes.iter()).map_err(crate::sql::error::from_arrow)?;
    debug_assert_eq!(made.len(), args.rows);
    Ok(Arc::new(made))
}

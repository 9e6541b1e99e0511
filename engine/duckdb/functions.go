package duckdb

import "strings"

// family says how much a function's result depends on what it must not.
type family int

const (
	unknown  family = iota
	pure            // its arguments alone decide
	exact           // an aggregate that no order of rows changes
	adding          // an aggregate that an order changes where it adds doubles
	floating        // an aggregate that computes in doubles, whatever it is given
	ordered         // an aggregate that shows the order of rows
	listing         // runs an aggregate, named by a constant, over a list
	clock           // the machine's time
	chance          // random, or another value at each call
	ambient         // the session, the catalog, the machine
	estimate        // approximate: depends on how rows are grouped
	macro           // an aggregate hidden in a macro, which takes no ORDER BY
)

// families lists every function that DuckDB has and the check knows. One that
// is not listed is refused: a new version of DuckDB cannot open a hole. The test
// compares the list with duckdb_functions().
var families = map[family]string{
	pure: `
!__postfix !~~ !~~* % & && * ** + - ->> -> / // <-> << <=> <@ >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~ *~ !*~
abs acos acosh add age apply array_append array_apply array_cat array_concat array_contains array_cosine_distance
array_cosine_similarity array_cross_product array_distance array_distinct array_dot_product array_extract
array_filter array_grade_up array_has array_has_all array_has_any array_indexof array_inner_product array_intersect
array_length array_negative_dot_product array_negative_inner_product array_pop_back array_pop_front array_position
array_prepend array_push_back array_push_front array_reduce array_resize array_reverse array_reverse_sort array_select array_slice
array_sort array_to_json array_to_string array_to_string_comma_default array_transform array_unique array_value
array_where array_zip ascii asin asinh atan atan2 atanh bar base64 bin bit_count bit_length bit_position bitstring
cardinality cbrt ceil ceiling century char_length character_length chr concat concat_ws constant_or_null contains cos
cosh cot damerau_levenshtein date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
dayofmonth dayofweek dayofyear days_in_month decade decode degrees divide editdist3 element_at encode ends_with enum_code enum_first
enum_last enum_range enum_range_boundary epoch epoch_ms epoch_ns epoch_us equi_width_bins era even exp factorial fdiv filter
flatten floor fmod format formatReadableDecimalSize formatReadableSize format_bytes formatreadabledecimalsize formatreadablesize
from_base64 from_binary from_hex
from_json from_json_strict gamma gcd generate_series generate_subscripts get_bit grade_up greatest greatest_common_divisor hamming hash hex hour
instr isfinite isinf isnan isodow isoyear jaccard jaro_similarity jaro_winkler_similarity json json_array
json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
json_extract_string json_keys json_merge_patch json_object json_pretty json_quote json_structure
json_transform json_transform_strict json_type json_valid json_value julian last_day lcase lcm least
least_common_multiple left left_grapheme len length length_grapheme levenshtein lgamma like_escape ilike_escape not_like_escape
not_ilike_escape list_append list_apply
list_cat list_concat list_contains list_cosine_distance list_cosine_similarity list_distance list_distinct
list_dot_product list_element list_extract list_filter list_grade_up list_has list_has_all list_has_any
list_indexof list_inner_product list_intersect list_negative_dot_product list_negative_inner_product list_pack
list_position list_prepend list_reduce list_resize list_reverse list_reverse_sort list_select list_slice list_sort list_transform
list_any_value list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or list_count list_entropy list_first
list_histogram list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode list_product list_sem
list_skewness list_stddev_pop list_stddev_samp list_string_agg list_sum list_var_pop list_var_samp
list_unique list_value list_where list_zip ln log log10 log2 lower lpad ltrim make_date make_time make_timestamp
make_timestamp_ms make_timestamp_ns make_timestamptz map map_concat map_contains map_contains_entry map_contains_value map_entries
map_extract map_extract_value map_from_entries map_keys map_values md5 md5_number md5_number_lower md5_number_upper microsecond millennium
millisecond minute mismatches mod month monthname multiply nanosecond nextafter nfc_normalize normalized_interval nullif octet_length ord
parse_dirname parse_dirpath parse_filename parse_formatted_bytes parse_path pi position pow power prefix printf quarter radians
range reduce regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
regexp_split_to_array regexp_split_to_table repeat replace reverse right right_grapheme round round_even roundbankers row row_to_json
rpad rtrim second set_bit sha1 sha256 sign signbit sin sinh split split_part sqrt starts_with str_split
str_split_regex strftime string_split string_split_regex string_to_array strip_accents strlen strpos
strptime struct_concat struct_contains struct_extract struct_extract_at struct_has struct_indexof struct_insert struct_keys struct_pack
struct_position struct_update struct_values substr substring substring_grapheme subtract suffix switch tan tanh time_bucket
timezone timezone_hour timezone_minute to_base to_base64 to_binary to_centuries to_days to_decades to_hex to_hours to_json
to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years
translate trim trunc try_strptime typeof pg_typeof ucase unbin unhex unicode union_extract union_tag union_value unnest unpivot_list upper
url_decode url_encode uuid_extract_timestamp uuid_extract_version week weekday weekofyear xor year yearweek`,
	exact: `count count_if count_star countif min max bit_and bit_or bit_xor bitstring_agg bool_and bool_or median quantile
quantile_cont quantile_disc mad histogram histogram_exact regr_count`,
	adding: `sum avg mean`,
	floating: `favg fsum kahan_sum sumkahan product stddev stddev_pop stddev_samp var_pop var_samp variance corr covar_pop
covar_samp kurtosis kurtosis_pop skewness sem entropy regr_avgx regr_avgy regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy`,
	ordered: `list array_agg string_agg group_concat listagg first last any_value arbitrary mode arg_max arg_max_null
arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin max_by min_by
cume_dist dense_rank fill first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number`,
	listing: `aggregate array_aggr array_aggregate list_aggr list_aggregate`,
	clock: `now today ago get_current_timestamp get_current_time current_date current_time current_timestamp current_localtime
current_localtimestamp localtime localtimestamp transaction_timestamp pg_conf_load_time pg_postmaster_start_time`,
	chance: `random setseed uuid uuidv4 uuidv7 gen_random_uuid nextval currval sleep_ms pg_sleep`,
	ambient: `current_setting getvariable getenv version current_database current_catalog current_schema current_schemas current_user
current_role session_user user current_query current_query_id current_connection_id current_transaction_id txid_current
in_search_path stats vector_type write_log parse_duckdb_log_message json_serialize_sql json_serialize_plan json_deserialize_sql
json_execute_serialized_sql pg_my_temp_schema pg_is_other_temp_schema inet_client_addr inet_client_port inet_server_addr inet_server_port
get_block_size error`,
	estimate: `approx_count_distinct approx_quantile approx_top_k reservoir_quantile list_approx_count_distinct`,
	macro:    `json_group_array json_group_object json_group_structure geomean geometric_mean wavg weighted_avg`,
}

// familyOf is families, turned round.
var familyOf = func() map[string]family {
	m := map[string]family{}
	for f, names := range families {
		for name := range strings.FieldsSeq(names) {
			m[strings.ToLower(name)] = f
		}
	}
	return m
}()

// clockNames are the names that DuckDB reads as a function where no column has
// them, and what they show.
var clockNames = map[string]family{
	"current_date": clock, "current_time": clock, "current_timestamp": clock, "localtime": clock, "localtimestamp": clock,
	"current_user": ambient, "session_user": ambient, "user": ambient, "current_role": ambient, "current_catalog": ambient,
	"current_schema": ambient,
}

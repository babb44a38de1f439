"""Names that ads teams and shops give to columns, tables and behaviours."""

import re
from functools import cache

_TIMES = (
    "time ts timestamp datetime dt date created_at occurred_at server_time time_ms time_stamp log_time unix_time hour"
)

ALIASES: dict[str, str] = {
    "event_id": "event_id event_no event_number id uuid row_id log_id hit_id message_id "
    "insert_id event_uuid transaction_id",
    "user_id": "user_id uid user userid customer customer_id visitor visitor_id member member_id client client_id "
    "cookie cookie_id account account_id buyer buyer_id shopper person person_id profile_id player_id guid "
    "anonymous_id distinct_id subscriber_id user_hash reader_id viewer_id ipinyou_id idfa gaid maid",
    "item_id": "item_id item itemid product product_id sku sku_id content content_id video video_id article article_id "
    "movie movie_id goods goods_id asin listing listing_id song_id track_id book_id news_id post_id note_id offer_item "
    "doc_id photo_id pid iid spu_id",
    "behavior": "behavior behaviour event_type action type btag btype event event_name activity interaction verb "
    "behavior_type behaviour_type action_type interaction_type user_action",
    "event_time": f"event_time event_timestamp event_ts event_at action_time interaction_time happened_at {_TIMES}",
    "category": "category category_id cat cat_id cate cate_id genre genres department item_category category_code "
    "topic product_category vertical c_id cateid item_category_id section",
    "price": "price unit_price item_price product_price list_price amount value price_usd price_eur retail_price "
    "conversion_value target_cpa payout basket_value",
    "impression_id": "impression_id imp_id impid imp show_id serve_id delivery_id impression exposure_id view_id "
    "bid_id bidid auction_item_id id "
    "display_id ad_event_id row_id log_id uuid",
    "request_id": "request_id req_id reqid request auction_id auction page_view_id pageview_id page_id query_id "
    "search_id slate_id session_id search_session opportunity_id",
    "ad_id": "ad_id ad adid creative creative_id crid banner banner_id adgroup adgroup_id ad_group_id aid material_id "
    "promo_id advert advert_id ad_creative_id offer_id",
    "request_time": f"request_time impression_time imp_time shown_at served_at bid_time request_ts impression_ts "
    f"impression_timestamp exposure_time display_time requested_at event_time view_time {_TIMES}",
    "click_time": f"click_time clicked_at tapped_at click_ts click_timestamp clk_time {_TIMES}",
    "conversion_time": "conversion_time conversion_timestamp conv_time converted_at order_time purchase_time "
    "purchased_at ordered_at bought_at install_time conversion_ts attributed_time order_ts paid_at",
    "position": "position pos slot slot_position rank place ad_position slot_index idx slot_id",
    "propensity": "propensity propensity_score pscore logging_prob action_prob logging_propensity prob_shown",
    "weight": "weight sample_weight sampling_weight row_weight impression_weight inverse_sampling_rate",
    "device": "device device_type platform os browser os_browser user_agent device_class device_model devicetype",
    "region": "region country geo province state city country_code region_code location market region_id geo_id",
    "bid": "bid bid_price bidding_price bid_amount max_bid default_bid bid_cpm bid_cpc bid_value cpc_bid base_bid",
    "cost": "cost spend paid paying_price pay_price win_price winning_price market_price price_paid charge "
    "charged ad_cost "
    "media_cost clearing_price cost_usd",
    "click": "click is_click clicked clk label is_clicked click_label has_click y target click_flag clicks ctr_label "
    "isclick",
    "conversion": "conversion converted is_conversion conv is_conv purchase purchased is_purchase buy is_buy is_order "
    "ordered cvr_label install is_install attribution is_attributed sale conversion_label",
    "revenue": "revenue conversion_value order_value sales gmv income turnover sale_amount revenue_usd amount value "
    "order_amount total",
    "campaign_id": "campaign_id campaign camp cmp cmp_id campaignid camp_id campaign_name advertiser_id advertiser "
    "line_item_id adgroup_campaign brand_id customer_campaign cid",
    "updated_time": "updated_time updated_at modified_at last_updated last_modified version_time written_at",
    "valid_from": "valid_from effective_from snapshot_date snapshot_time snapshot_day snapshot as_of valid_since "
    "dbt_valid_from start_date starts_at day date dt",
    "valid_until": "valid_until valid_to effective_to effective_until dbt_valid_to end_date ends_at expires_at expiry",
    "click_id": "click_id clickid gclid clk_id tap_id id uuid",
    "conversion_id": "conversion_id conv_id order_id transaction_id id uuid sale_id",
}
"""Contract column to its names, the likeliest first."""

_MANY_MEANINGS = (
    "id type value amount label y target total hour date state session_id buy purchase attribution cid "
    "event event_name brand_id advertiser advertiser_id pid user_agent location city hit_id conversion_value "
    "item_category price_paid section idx event_time view_time row_id log_id uuid category_code transaction_id "
    "conversion impression view_id bid_id action device_model os"
)
WEAK = frozenset(_MANY_MEANINGS.split())
"""Names that mean something else as often."""

TABLE_WORDS: dict[str, str] = {
    "events": "event events behavior behaviour behaviors userbehavior actions activity activities timeline timelines "
    "clickstream browsing history interactions views sessions ratings visits organic shop",
    "impressions": "impression impressions imp imps exposure exposures shown shows served auctions auction "
    "displays display "
    "bids deliveries adlog requests log rlb",
    "ads": "ads ad creatives creative banners catalog catalogue adverts campaigns adgroups feature items item products "
    "context",
    "candidates": "candidates candidate slates",
    "clicks": "click clicks clk taps",
    "conversions": "conversion conversions conv convs orders order purchases sales installs attributions transactions",
    "users": "user users customer customers member members profile profiles visitors audience demographics",
    "items": "item items product products goods sku skus catalog catalogue assortment embeddings vectors",
}
"""Table to words of its files' names."""

BEHAVIOR_WORDS: dict[str, str] = {
    "view": "view pv pageview page_view impression detail view_item show browse visit viewed productview screen_view "
    "see product_view item_view viewed_product detail_view play watch",
    "click": "click clk tap select select_item clicked item_click product_click",
    "cart": "cart addtocart add_to_cart fav favorite favourite wishlist add_to_wishlist basket add cart_add "
    "addtobasket add_to_basket favor collect like save bookmark added_to_cart initiate_checkout "
    "begin_checkout checkout",
    "purchase": "purchase buy order transaction bought checkout_complete paid sale ordered conversion pay purchased "
    "order_completed completed_order complete_payment",
}
"""Behaviour to its words in logs."""


_TAKES_BACK = re.compile(r"^(un(?!i)|dis(?!c)|remove|delete|cancel|return|refund|hide|skip|block|report|reject)")


def plain(name: str) -> str:
    """A name without case, spaces and signs.

    >>> plain(" User-ID")
    'userid'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BEHAVIORS = {name: {plain(word) for word in words.split()} for name, words in BEHAVIOR_WORDS.items()}


@cache
def name_score(name: str, column: str) -> float:
    """Return how well a file's name of a column fits a column of a contract, from 0 to 1.

    >>> name_score("user_id", "user_id"), name_score("UID", "user_id"), name_score("id", "event_id")
    (1.0, 0.9, 0.5)
    >>> name_score("shop_user_id", "user_id"), name_score("colour", "user_id")
    (0.7, 0.0)
    """
    if plain(name) == plain(column):
        return 1.0
    aliases = ALIASES.get(column, "").split()
    found = next((alias for alias in aliases if plain(alias) == plain(name)), "")
    if found:
        return 0.5 if found in WEAK else 0.9
    words = _words(name)
    strong = [_words(alias) for alias in aliases if alias not in WEAK and len(plain(alias)) > 2]
    ends = any(words[-len(alias) :] == alias for alias in strong if len(alias) > 1)
    return 0.7 if ends else 0.6 if any(words[-len(alias) :] == alias for alias in strong) else 0.0


def is_known_name(name: str) -> bool:
    """Tell whether some column of a contract is called so.

    >>> is_known_name("uid"), is_known_name("17")
    (True, False)
    """
    return bool(plain(name)) and any(name_score(name, column) >= 0.5 for column in ALIASES)


def takes_back(value: str) -> bool:
    """Tell whether a value says that something was undone or turned down.

    >>> takes_back("remove_from_cart"), takes_back("Unlike"), takes_back("share")
    (True, True, False)
    """
    return bool(_TAKES_BACK.match(plain(value)))


def behavior_of(value: str) -> str:
    """Return the behaviour that a value in a file means, empty where none is known.

    >>> behavior_of("pv"), behavior_of("Add To Cart"), behavior_of("remove_from_cart")
    ('view', 'cart', '')
    """
    return next((name for name, words in _BEHAVIORS.items() if plain(value) in words), "")


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", parted.lower()) if word]

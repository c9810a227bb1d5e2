//! The console's files: embedded when this was built, from the sources in `web`. The page itself is asked for anew
//! each time; all else carries a hash in its name and is kept for good.

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The page, which is also what `/` is. Where in the console one is stands after the `#`, and is never sent.
const PAGE: &str = "index.html";
const ASK_AGAIN: &str = "no-cache";
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// A file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    tag: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// Answers what no address of the API answers: with a file of the console, or that there is nothing.
pub async fn answer(uri: Uri, method: Method, headers: HeaderMap) -> Response {
    let name = if uri.path() == "/" { PAGE } else { uri.path().trim_start_matches('/') };
    let is_read = method == Method::GET || method == Method::HEAD;
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) if is_read => asset.answer(&headers),
        Some(_) | None => Problem::no_route().into_response(),
    }
}

impl Asset {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let keep = if self.name == PAGE { ASK_AGAIN } else { FOR_GOOD };
        let about = [(ETAG, self.tag), (CACHE_CONTROL, keep), (VARY, ACCEPT_ENCODING.as_str())];
        if headers.get(IF_NONE_MATCH).is_some_and(|known| lists(known, self.tag)) {
            return (StatusCode::NOT_MODIFIED, about).into_response();
        }
        let kind = [(CONTENT_TYPE, self.kind)];
        let takes_brotli = headers.get_all(ACCEPT_ENCODING).iter().any(|all| lists(all, "br"));
        match self.brotli {
            Some(brotli) if takes_brotli => {
                (about, kind, [(CONTENT_ENCODING, "br")], brotli).into_response()
            }
            Some(_) | None => (about, kind, self.plain).into_response(),
        }
    }
}

/// Whether a list in a header has this entry, and does not refuse it with a weight of nothing.
fn lists(header: &HeaderValue, wanted: &str) -> bool {
    let entries = header.to_str().unwrap_or_default().split(',');
    entries.map(|entry| entry.split(';').map(str::trim)).any(|mut parts| {
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        name.trim_start_matches("W/") == wanted
            && weight.and_then(|weight| weight.parse::<f32>().ok()) != Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(
        path: &'static str,
        headers: &[(axum::http::HeaderName, &'static str)],
    ) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_static(value));
        }
        answer(path.parse().unwrap(), Method::GET, map).await
    }

    #[tokio::test]
    async fn the_page_is_asked_for_anew_and_what_it_names_is_there_for_good() {
        let page = get("/", &[]).await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[CACHE_CONTROL], ASK_AGAIN);
        let bytes = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        for asset in ASSETS.iter().filter(|asset| asset.name != PAGE) {
            assert!(text.contains(asset.name), "the page does not name {}", asset.name);
            let answer =
                answer(format!("/{}", asset.name).parse().unwrap(), Method::GET, HeaderMap::new());
            let answer = answer.await;
            assert_eq!(answer.headers()[CACHE_CONTROL], FOR_GOOD);
            assert_eq!(answer.headers()[CONTENT_TYPE], asset.kind);
        }
    }

    #[tokio::test]
    async fn a_browser_that_has_the_page_gets_no_second_copy() {
        let tag = ASSETS.iter().find(|asset| asset.name == PAGE).unwrap().tag;
        let known = get("/", &[(IF_NONE_MATCH, tag)]).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(get("/", &[(IF_NONE_MATCH, "\"another\"")]).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn only_who_takes_brotli_gets_it() {
        let sent = async |accepts| get("/", &[(ACCEPT_ENCODING, accepts)]).await;
        let has_brotli = ASSETS.iter().any(|asset| asset.name == PAGE && asset.brotli.is_some());
        let encoded = |answer: &Response| answer.headers().contains_key(CONTENT_ENCODING);
        assert_eq!(encoded(&sent("gzip, deflate, br").await), has_brotli);
        assert!(!encoded(&sent("gzip").await));
        assert!(!encoded(&sent("br;q=0, gzip").await));
    }

    #[tokio::test]
    async fn what_is_no_file_is_a_problem() {
        for path in ["/volumes", "/../Cargo.toml", "/api/v1/nothing", "//index.html/"] {
            assert_eq!(get(path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

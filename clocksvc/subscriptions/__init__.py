"""Those who keep a sender's turn at a tick log (the promise is `clocksvc.subscription`)."""

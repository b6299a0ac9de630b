"""Those who keep a sender's positions (the promise is `clocksvc.position`)."""

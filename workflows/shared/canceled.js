/* Whether the job has been canceled: a runner does not tell, but the job itself shows it. */
function isCanceled(job, next) {
    var request = {
        url: imgapiUrl,
        method: 'get',
        path: '/jobs/' + job.uuid,
        once: true,
        deadline: Date.now() + 5000
    };
    send(job, request, function (err, current) {
        next(!err && current.execution === 'canceled');
    });
}

/* Looks every five seconds whether the job has been canceled. Returns a function that ends it. */
function watchCancel(job, onCanceled) {
    var isAsking = false;
    var timer = setInterval(function () {
        if (job.timeToDie) {
            clearInterval(timer);
        } else if (!isAsking) {
            isAsking = true;
            isCanceled(job, function (canceled) {
                isAsking = false;
                if (canceled) {
                    clearInterval(timer);
                    onCanceled();
                }
            });
        }
    }, 5000);

    return function () {
        clearInterval(timer);
    };
}

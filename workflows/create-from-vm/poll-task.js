/* Waits until the compute node has made the image, or given up. A few failures to ask are no failure. */
function pollTask(job, cb) {
    var startedAt = Date.now();
    var deadline = startedAt + 3590000;
    var failures = 0;
    var isOver = false;
    var stopWatching = watchCancel(job, function () {
        end('cancel');
    });

    function end(err, result) {
        if (!isOver) {
            isOver = true;
            stopWatching();
            cb(err, result);
        }
    }

    /* The task may not be known yet everywhere. */
    function isTolerable(err) {
        if (err.statusCode === 404 && Date.now() - startedAt < 10000) {
            return true;
        }
        failures += 1;
        return failures <= 5;
    }

    function pollAgain() {
        setTimeout(poll, 1000);
    }

    function poll() {
        var request = {
            url: cnapiUrl,
            method: 'get',
            path: '/tasks/' + job.taskId,
            deadline: Math.min(deadline, Date.now() + 30000)
        };
        if (isOver || job.timeToDie) {
            stopWatching();
            return;
        }
        if (Date.now() >= deadline) {
            end({ name: 'TaskTimeoutError', message: 'task timeout error' });
            return;
        }
        send(job, request, function (err, task) {
            if (err && !isTolerable(err)) {
                end(err);
            } else if (err) {
                pollAgain();
            } else if (task.status === 'failure') {
                end(failureOf(task));
            } else if (task.status === 'complete') {
                end(null, 'Job succeeded!');
            } else {
                failures = 0;
                pollAgain();
            }
        });
    }

    poll();
}

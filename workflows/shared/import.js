/*
 * Makes the record of an image as its source describes it, and notes that this job did so: only what a
 * job has made may it delete. The origin is looked for afterwards, when nobody can delete it any more.
 */
function createRecord(job, uuid, deadline, next) {
    var params = job.params;
    var query = {
        action: 'import',
        skip_owner_check: params.skip_owner_check,
        source: params.source,
        channel: params.channel,
        import_id: params.import_id,
        datacenter: params.datacenter
    };
    var request = { url: imgapiUrl, method: 'post', path: imagePath(uuid, '', query), deadline: deadline };
    send(job, request, function (err, image) {
        if (err && !err.statusCode && err.name !== 'TaskTimeoutError' && Date.now() + 1000 < deadline) {
            /* Nobody has answered, and it may be done: who asks again with the same id is told. */
            setTimeout(function () {
                createRecord(job, uuid, deadline, next);
            }, 1000);
            return;
        }
        if (err) {
            next(err);
            return;
        }
        job.created_images = (job.created_images || []).concat(uuid);
        if (!image.origin) {
            next(null);
            return;
        }
        findImage(job, image.origin, deadline, function (findErr, origin) {
            if (!findErr && !origin) {
                findErr = {
                    name: 'OriginDoesNotExistError',
                    message: 'origin image "' + image.origin + '" does not exist',
                    code: 'OriginDoesNotExist'
                };
            }
            next(findErr);
        });
    });
}

/* Has all files of an image copied from its source. */
function addFiles(job, uuid, deadline, next) {
    var query = { source: job.params.source, channel: job.params.channel };
    var request = {
        url: imgapiUrl,
        method: 'put',
        path: imagePath(uuid, '/file', query),
        deadline: deadline
    };
    var isOver = false;
    var stopWatching;
    var transfer;

    function end(err) {
        if (!isOver) {
            isOver = true;
            stopWatching();
            next(err);
        }
    }

    stopWatching = watchCancel(job, function () {
        end('cancel');
        transfer.close();
    });
    transfer = send(job, request, end);
}

/* Activates an image. */
function activate(job, uuid, deadline, next) {
    var query = { action: 'activate', channel: job.params.channel };
    var request = { url: imgapiUrl, method: 'post', path: imagePath(uuid, '', query), deadline: deadline };
    send(job, request, next);
}

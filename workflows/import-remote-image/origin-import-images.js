/* Imports the origins, the base first. Those that are here by then are left as they are. */
function originImportImages(job, cb) {
    var origins = (job.params.origins || []).slice();
    var deadline = Date.now() + 3590000;

    function importOrigin(uuid) {
        createRecord(job, uuid, deadline, function (err) {
            if (err && err.statusCode === 409) {
                lookAgain(uuid);
            } else if (err) {
                cb(err);
            } else {
                addFiles(job, uuid, deadline, function (fileErr) {
                    if (fileErr) {
                        cb(fileErr);
                    } else {
                        activate(job, uuid, deadline, importNext);
                    }
                });
            }
        });
    }

    /* Somebody else makes it: they finish, or give up, and then it is ours to make. */
    function lookAgain(uuid) {
        isCanceled(job, function (canceled) {
            if (canceled) {
                cb('cancel');
            } else {
                setTimeout(function () {
                    look(uuid);
                }, 1000);
            }
        });
    }

    function look(uuid) {
        findImage(job, uuid, deadline, function (err, image) {
            if (err) {
                cb(err);
            } else if (!image) {
                importOrigin(uuid);
            } else if (image.state === 'active' || image.state === 'disabled') {
                importNext(null);
            } else if (image.state === 'failed') {
                cb({
                    name: 'OriginIsNotActiveError',
                    message: 'origin image "' + uuid + '" is not active',
                    code: 'OriginIsNotActive'
                });
            } else {
                lookAgain(uuid);
            }
        });
    }

    function importNext(err) {
        if (err) {
            cb(err);
        } else if (origins.length === 0) {
            cb(null, 'Image origins have been imported');
        } else {
            look(origins.shift());
        }
    }

    if (origins.length === 0) {
        cb(null, 'No origins (skipping import of origins)');
    } else {
        importNext(null);
    }
}

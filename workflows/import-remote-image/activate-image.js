/* Activates the image. */
function activateImage(job, cb) {
    var uuid = job.params.image_uuid;
    var deadline = Date.now() + 9000;

    isCanceled(job, function (canceled) {
        if (canceled) {
            cb('cancel');
            return;
        }
        activate(job, uuid, deadline, function (err) {
            cb(err, 'Image ' + uuid + ' activated');
        });
    });
}
